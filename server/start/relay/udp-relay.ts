import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** Browsers and their connections that are remembered; the one that was silent the longest makes room. */
const MAX_CLIENTS = 256;
const BUFFER_OCTETS = 4 * 1024 * 1024;
const LOOPBACK = '127.0.0.1';

/** Where clients come. */
export type RelayHost = '127.0.0.1' | '::1';

interface Client {
  readonly port: number;
  upstream: Socket;
}

function openSocket(host: RelayHost): Socket {
  const socket = createSocket({
    type: host === '::1' ? 'udp6' : 'udp4',
    ipv6Only: host === '::1',
    recvBufferSize: BUFFER_OCTETS,
    sendBufferSize: BUFFER_OCTETS,
  });
  // A packet that cannot be sent is lost, as on any network.
  socket.on('error', () => {});
  return socket;
}

/** Passes UDP packets between clients on one loopback address and a target on this machine, or drops them. */
export class UdpRelay {
  /** Share of packets that are dropped, 0 to 1, each way. */
  lossShare = 0;
  /** Packets that were dropped so far. */
  dropped = 0;
  readonly #socket: Socket;
  readonly #targetPort: number;
  /** By port: all have the same address. The one that was silent the longest is first. */
  readonly #clients = new Map<number, Client>();

  private constructor(socket: Socket, targetPort: number) {
    this.#socket = socket;
    this.#targetPort = targetPort;
    socket.on('message', (data, from) => this.#fromClient(data, from));
  }

  /** Listens; port 0 takes a free one. Rejects when it cannot. */
  static async open(host: RelayHost, port: number, targetPort: number): Promise<UdpRelay> {
    const socket = openSocket(host);
    socket.bind(port, host);
    await once(socket, 'listening');
    return new UdpRelay(socket, targetPort);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** Gives every client another source port towards the target, as a NAT does that forgot its mappings: the old ports are dead. */
  changePorts(): void {
    for (const client of this.#clients.values()) {
      const old = client.upstream;
      client.upstream = this.#openUpstream(client);
      old.close();
    }
  }

  close(): void {
    for (const { upstream } of this.#clients.values()) upstream.close();
    this.#clients.clear();
    this.#socket.close();
  }

  #fromClient(data: Buffer, { port }: RemoteInfo): void {
    const client = this.#clients.get(port) ?? this.#newClient(port);
    this.#clients.delete(port);
    this.#clients.set(port, client);
    if (this.#drops()) return;
    client.upstream.send(data, this.#targetPort, LOOPBACK, () => {});
  }

  #newClient(port: number): Client {
    const oldest = this.#clients.values().next().value;
    if (this.#clients.size >= MAX_CLIENTS && oldest !== undefined) {
      this.#clients.delete(oldest.port);
      oldest.upstream.close();
    }
    const client = { port } as Client;
    client.upstream = this.#openUpstream(client);
    return client;
  }

  /** Bound by its first send. */
  #openUpstream({ port }: Client): Socket {
    const upstream = openSocket(LOOPBACK);
    const { address } = this.#socket.address();
    upstream.on('message', (data) => {
      if (!this.#drops()) this.#socket.send(data, port, address, () => {});
    });
    return upstream;
  }

  #drops(): boolean {
    if (this.lossShare === 0 || Math.random() >= this.lossShare) return false;
    this.dropped += 1;
    return true;
  }
}
