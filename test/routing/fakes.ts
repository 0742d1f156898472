import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { PROBE_CLIENT } from '../../lb/health.ts';
import {
  encodeVersionNegotiation,
  HeaderForm,
  isReservedVersion,
  PacketHead,
} from '../../proto/invariants/index.ts';
import type { TunnelEnd } from '../../proto/spp/index.ts';
import { backendEnd } from './cluster.ts';

/** One packet as a backend got it. */
export interface Received {
  readonly payload: Uint8Array;
  readonly client: { readonly host: string; readonly port: number };
  /** The forwarder it came through. */
  readonly via: { readonly host: string; readonly port: number };
  /** The forwarder's address that the client called. */
  readonly called: { readonly host: string; readonly port: number };
}

const WAIT_MS = 8000;

/** Waits until `condition` holds; what the tests wait for is always a packet or a change of state, never a time. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + WAIT_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export async function udp(host = '127.0.0.1', port = 0): Promise<Socket> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, host);
  await once(socket, 'listening');
  return socket;
}

/** A backend as far as the forwarder can see: it speaks SPP, answers probes, and keeps what callers send. */
export class FakeBackend {
  readonly received: Received[] = [];
  /** Whether it answers Version Negotiation, as one that takes new connections does. */
  takesNew = true;
  /** Whether it answers unknown CIDs with a Stateless Reset, as any backend that lives does. */
  lives = true;
  /** Whether it sends every caller's packet back. */
  echoes = false;
  readonly socket: Socket;
  /** How it seals and opens what goes through the tunnel. */
  tunnelEnd: TunnelEnd = backendEnd();
  /** Packets that it could not open. */
  unopened = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('message', (data, from) => this.#receive(data, { host: from.address, port: from.port }));
  }

  static async open(host = '127.0.0.1'): Promise<FakeBackend> {
    return new FakeBackend(await udp(host));
  }

  get tunnel(): string {
    const { address, port } = this.socket.address();
    return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  }

  send(client: Received['client'], payload: Uint8Array, via: Received['via'], called = via): void {
    const header = {
      clientHost: client.host,
      clientPort: client.port,
      proxyHost: called.host,
      proxyPort: called.port,
    };
    this.socket.send(this.tunnelEnd.seal(header, payload), via.port, via.host);
  }

  close(): void {
    this.socket.close();
  }

  #receive(data: Uint8Array, via: Received['via']): void {
    const decoded = this.tunnelEnd.open(data);
    if (decoded === undefined) {
      // Ports are used again: a forwarder of another test, with another key, may still probe a backend that was here before.
      this.unopened++;
      return;
    }
    const { header, payload } = decoded;
    const client = { host: header.clientHost, port: header.clientPort };
    if (client.host === PROBE_CLIENT.host) {
      this.#answerProbe(payload, client, via);
      return;
    }
    const called = { host: header.proxyHost, port: header.proxyPort };
    this.received.push({ payload: new Uint8Array(payload), client, via, called });
    if (this.echoes) this.send(client, payload, via, called);
  }

  #answerProbe(payload: Uint8Array, client: Received['client'], via: Received['via']): void {
    const head = new PacketHead();
    const form = head.parse(payload);
    if (form === HeaderForm.short && this.lives) this.send(client, new Uint8Array(41).fill(0x55), via);
    if (form !== HeaderForm.long || !this.takesNew || !isReservedVersion(head.version)) return;
    const answer = encodeVersionNegotiation({
      destinationConnectionId: payload.subarray(head.scidOffset, head.end),
      sourceConnectionId: payload.subarray(head.dcidOffset, head.dcidOffset + head.dcidLength),
      versions: [1],
    });
    this.send(client, answer, via);
  }
}

/** A client's socket with what came back to it. */
export class FakeClient {
  readonly socket: Socket;
  readonly received: Uint8Array[] = [];
  /** Where each came from. */
  readonly from: { readonly host: string; readonly port: number }[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('message', (data, { address, port }) => {
      this.received.push(new Uint8Array(data));
      this.from.push({ host: address, port });
    });
  }

  static async open(host = '127.0.0.1'): Promise<FakeClient> {
    return new FakeClient(await udp(host));
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(packet: Uint8Array, to: { readonly host: string; readonly port: number }): void {
    this.socket.send(packet, to.port, to.host);
  }

  close(): void {
    this.socket.close();
  }
}
