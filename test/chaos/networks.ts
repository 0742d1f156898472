import type { Address, Datagram } from '../../proto/quic/index.ts';
import { openPublicSocket, type PacketSocket } from '../../server/net/index.ts';
import { SeededRandom } from '../simulation/random.ts';

const LOOPBACK = '127.0.0.1';
/** How long packets to an address that is left may still arrive, in ms. */
const LEAVING_MS = 50;

/** What is under way: who is given it at its time. */
interface UnderWay {
  readonly at: number;
  readonly socket: NetworkSocket;
  readonly datagram: Datagram;
  readonly toForwarder: boolean;
}

export interface NetworkOptions {
  readonly seed: number;
  /** One way, in ms. */
  readonly delayMs: number;
  /** Share of packets that are lost each way, 0 to 1. */
  readonly lossRate: number;
}

/**
 * A network that callers share, between their clients and the forwarders: it delays, loses, sends each packet to any of the forwarders, as
 * routers do that have several equal ways, and gives all its clients other addresses. It lies within the callers' process, where a packet
 * costs no system call more: a relay of its own would cost as much as the calls.
 */
export class Network {
  lossRate: number;
  /** Ports of the forwarders on this machine that are announced. */
  forwarders: readonly number[] = [];
  readonly #delayMs: number;
  readonly #loss: SeededRandom;
  readonly #spray: SeededRandom;
  readonly #sockets = new Set<NetworkSocket>();
  /** In the order of their times, as all have the same delay. */
  #underWay: UnderWay[] = [];
  #delivered = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ seed, delayMs, lossRate }: NetworkOptions) {
    this.#delayMs = delayMs;
    this.lossRate = lossRate;
    this.#loss = new SeededRandom(seed, 'loss');
    this.#spray = new SeededRandom(seed, 'spray');
  }

  /** A client's socket in this network. */
  async open(): Promise<PacketSocket> {
    const socket = new NetworkSocket(this, (closed) => this.#sockets.delete(closed));
    await socket.begin();
    this.#sockets.add(socket);
    return socket;
  }

  /** Every client sends from another address from now on, and is reached there alone: what a NAT does that has forgotten it. */
  async rebind(): Promise<void> {
    await Promise.all([...this.#sockets].map((socket) => socket.begin()));
  }

  /** A packet comes to the network. Its memory may be used again. */
  carry(socket: NetworkSocket, { data, path }: Datagram, toForwarder: boolean): void {
    if (this.#loss.chance(this.lossRate)) return;
    const datagram = { data: data.slice(), path };
    this.#underWay.push({ at: performance.now() + this.#delayMs, socket, datagram, toForwarder });
    this.#timer ??= setTimeout(() => this.#deliver(), this.#delayMs);
  }

  #deliver(): void {
    this.#timer = undefined;
    const now = performance.now();
    const sent = new Set<NetworkSocket>();
    let next = this.#underWay[this.#delivered];
    for (; next !== undefined && next.at <= now; next = this.#underWay[this.#delivered]) {
      this.#delivered++;
      const { socket, datagram, toForwarder } = next;
      if (!toForwarder) socket.arrive(datagram);
      else if (this.forwarders.length > 0) {
        socket.leave(datagram, this.#spray.pick(this.forwarders));
        sent.add(socket);
      }
    }
    for (const socket of sent) socket.flushOuter();
    this.#underWay.splice(0, this.#delivered);
    this.#delivered = 0;
    if (next !== undefined) this.#timer = setTimeout(() => this.#deliver(), Math.max(1, next.at - now));
  }
}

/** A client's socket as its driver has it, and the one that the outside sees just now. */
class NetworkSocket implements PacketSocket {
  readonly isFull = false;
  readonly dropped = {};
  readonly #network: Network;
  readonly #closed: (socket: NetworkSocket) => void;
  #outer: PacketSocket | undefined;
  /** The first address: a client does not know what a NAT makes of it. */
  #local: Address | undefined;
  #listener: (datagram: Datagram) => void = () => {};
  #remote: Address | undefined;
  #over = false;

  constructor(network: Network, closed: (socket: NetworkSocket) => void) {
    this.#network = network;
    this.#closed = closed;
  }

  /** Takes an address outside, in place of the one that it has. */
  async begin(): Promise<void> {
    const outer = await openPublicSocket({ host: LOOPBACK, port: 0 });
    if (this.#over) return outer.close();
    const old = this.#outer;
    this.#outer = outer;
    this.#local ??= outer.local;
    outer.onDatagram((datagram) => {
      if (this.#outer === outer) this.#network.carry(this, datagram, false);
    });
    if (old !== undefined) setTimeout(() => void old.close(), LEAVING_MS);
  }

  get local(): Address {
    return this.#local!;
  }

  owns(local: Address): boolean {
    return local.port === this.local.port;
  }

  send(datagram: Datagram): void {
    this.#remote ??= datagram.path.remote;
    this.#network.carry(this, datagram, true);
  }

  flush(): void {}

  /** It comes to a forwarder. */
  leave({ data }: Datagram, port: number): void {
    const outer = this.#outer;
    if (!this.#over) outer?.send({ data, path: { local: outer.local, remote: { host: LOOPBACK, port } } });
  }

  flushOuter(): void {
    this.#outer?.flush();
  }

  /** It comes to the client, from the address that the client knows. */
  arrive({ data }: Datagram): void {
    if (!this.#over && this.#remote !== undefined)
      this.#listener({ data, path: { local: this.local, remote: this.#remote } });
  }

  onDatagram(listener: (datagram: Datagram) => void): void {
    this.#listener = listener;
  }

  async close(): Promise<void> {
    if (this.#over) return;
    // What it sent last is still under way.
    await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
    this.#over = true;
    this.#closed(this);
    await this.#outer?.close();
  }
}
