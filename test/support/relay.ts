import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket as TcpSocket } from 'node:net';

export interface RelayOptions {
  /** Where clients' packets go; on loopback unless a host is given. */
  readonly target: { readonly host?: string; readonly port: number };
  /** One-way delay in milliseconds: the round trip grows by twice this. */
  readonly delayMs?: number;
  /** Share of packets lost, 0 to 1, in each direction. */
  readonly lossRate?: number;
  readonly seed?: number;
  /** Share of packets that are held back by another `reorderDelayMs`. */
  readonly reorder?: number;
  readonly reorderDelayMs?: number;
  /** Share of packets that arrive twice. */
  readonly duplicate?: number;
  /** What the link carries each way, in kbit/s of IP packets; absent: everything. */
  readonly rateKbps?: number;
  /** Octets of packets that wait for the link; more are lost. Default 32 KiB. */
  readonly queueOctets?: number;
  /** Largest UDP payload that passes, in octets. */
  readonly mtu?: number;
  readonly port?: number;
  /** TCP connections to the same port are passed on as well, untouched by loss and delay. */
  readonly tcp?: boolean;
  /** Sees every packet as it comes, before its fate is drawn. It must copy what it keeps. */
  readonly tap?: (direction: 'toTarget' | 'toClient', data: Uint8Array) => void;
}

export interface RelayCounters {
  received: number;
  forwarded: number;
  lost: number;
  reordered: number;
  duplicated: number;
  tooLarge: number;
  /** Lost because too much waited for the link. */
  overflowed: number;
  octets: number;
}

export interface Relay {
  readonly port: number;
  readonly stats: {
    readonly toTarget: RelayCounters;
    readonly toClient: RelayCounters;
    clients: number;
    rebinds: number;
  };
  /** Gives every client a new source port towards the target, as a NAT does that forgot its mappings; the old ports are dead. */
  rebind(): Promise<void>;
  setLoss(rate: number): void;
  setDelay(delayMs: number): void;
  /** `undefined`: the link carries everything again. */
  setRate(kbps: number | undefined): void;
  /** Resets the TCP connections that are open. */
  cutTcp(): void;
  close(): Promise<void>;
}

interface Client {
  readonly host: string;
  readonly port: number;
  upstream: Socket;
}

const LOOPBACK = '127.0.0.1';
const BUFFER_OCTETS = 4 * 1024 * 1024;
/** IPv4 and UDP. */
const HEADER_OCTETS = 28;
const DEFAULT_QUEUE_OCTETS = 32 * 1024;

/** A small seeded generator (mulberry32): uniform in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const counters = (): RelayCounters => ({
  received: 0,
  forwarded: 0,
  lost: 0,
  reordered: 0,
  duplicated: 0,
  tooLarge: 0,
  overflowed: 0,
  octets: 0,
});

async function open(port = 0): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: BUFFER_OCTETS, sendBufferSize: BUFFER_OCTETS });
  socket.bind(port, LOOPBACK);
  await once(socket, 'listening');
  socket.on('error', () => {});
  return socket;
}

class UdpRelay implements Relay {
  readonly stats = { toTarget: counters(), toClient: counters(), clients: 0, rebinds: 0 };
  readonly #options: RelayOptions;
  readonly #socket: Socket;
  readonly #random: () => number;
  readonly #clients = new Map<string, Client>();
  readonly #pending = new Set<NodeJS.Timeout>();
  #lossRate: number;
  #delayMs: number;
  #rateKbps: number | undefined;
  /** When the link has sent what waits for it, each way. */
  readonly #freeAt = new Map<RelayCounters, number>();
  #tcp: TcpRelay | undefined;
  #closed = false;

  constructor(options: RelayOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    this.#random = seeded(options.seed ?? 1);
    this.#lossRate = options.lossRate ?? 0;
    this.#delayMs = options.delayMs ?? 0;
    this.#rateKbps = options.rateKbps;
    socket.on('message', (data, from) => this.#fromClient(data, from.address, from.port));
  }

  get port(): number {
    return this.#socket.address().port;
  }

  async passTcp(): Promise<void> {
    this.#tcp = await TcpRelay.open(this.port, this.#options.target);
  }

  setLoss(rate: number): void {
    this.#lossRate = rate;
  }

  setDelay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  setRate(kbps: number | undefined): void {
    this.#rateKbps = kbps;
  }

  cutTcp(): void {
    this.#tcp?.cut();
  }

  async rebind(): Promise<void> {
    const clients = [...this.#clients.values()];
    const fresh = await Promise.all(clients.map(() => open()));
    clients.forEach((client, i) => {
      const old = client.upstream;
      client.upstream = fresh[i] as Socket;
      this.#listen(client);
      old.close();
    });
    this.stats.rebinds++;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#pending) clearTimeout(timer);
    for (const { upstream } of this.#clients.values()) upstream.close();
    this.#tcp?.close();
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #fromClient(data: Uint8Array, host: string, port: number): void {
    const key = `${host}:${port}`;
    let client = this.#clients.get(key);
    if (client === undefined) {
      // Bound by its first send, within this turn of the loop.
      const upstream = createSocket({
        type: 'udp4',
        recvBufferSize: BUFFER_OCTETS,
        sendBufferSize: BUFFER_OCTETS,
      });
      upstream.on('error', () => {});
      client = { host, port, upstream };
      this.#clients.set(key, client);
      this.stats.clients = this.#clients.size;
      this.#listen(client);
    }
    this.#options.tap?.('toTarget', data);
    const owner = client;
    this.#pass(this.stats.toTarget, data, () => {
      const { target } = this.#options;
      owner.upstream.send(data, target.port, target.host ?? LOOPBACK, () => {});
    });
  }

  #listen(client: Client): void {
    client.upstream.on('message', (data) => {
      this.#options.tap?.('toClient', data);
      this.#pass(this.stats.toClient, data, () =>
        this.#socket.send(data, client.port, client.host, () => {}),
      );
    });
  }

  /** Draws the packet's fate. Every packet draws three numbers, so that one rate does not shift what another decides. */
  #pass(count: RelayCounters, data: Uint8Array, send: () => void): void {
    const { reorder = 0, reorderDelayMs = 10, duplicate = 0, mtu = Number.POSITIVE_INFINITY } = this.#options;
    const lost = this.#random() < this.#lossRate;
    const late = this.#random() < reorder;
    const twice = this.#random() < duplicate;
    count.received++;
    if (data.length > mtu) {
      count.tooLarge++;
      return;
    }
    if (lost) {
      count.lost++;
      return;
    }
    const linkMs = this.#onLink(count, data.length + HEADER_OCTETS);
    if (linkMs === undefined) {
      count.overflowed++;
      return;
    }
    if (late) count.reordered++;
    if (twice) count.duplicated++;
    const deliver = () => {
      if (this.#closed) return;
      count.forwarded++;
      count.octets += data.length;
      send();
      if (twice) send();
    };
    this.#after(linkMs + this.#delayMs + (late ? reorderDelayMs : 0), deliver);
  }

  /** How long a packet waits for the link and takes on it, in ms; undefined when it finds the queue full. */
  #onLink(count: RelayCounters, octets: number): number | undefined {
    const rate = this.#rateKbps;
    if (rate === undefined) return 0;
    const now = performance.now();
    const waitsMs = Math.max(0, (this.#freeAt.get(count) ?? 0) - now);
    if ((waitsMs * rate) / 8 + octets > (this.#options.queueOctets ?? DEFAULT_QUEUE_OCTETS)) return undefined;
    const linkMs = waitsMs + (octets * 8) / rate;
    this.#freeAt.set(count, now + linkMs);
    return linkMs;
  }

  #after(delayMs: number, deliver: () => void): void {
    if (delayMs <= 0) {
      deliver();
      return;
    }
    const timer = setTimeout(() => {
      this.#pending.delete(timer);
      deliver();
    }, delayMs);
    this.#pending.add(timer);
  }
}

/** Passes TCP connections on, as a network does that lets nothing but TCP through. */
class TcpRelay {
  readonly #server: Server;
  readonly #sockets = new Set<TcpSocket>();

  private constructor(target: RelayOptions['target']) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
      const { host = LOOPBACK, port } = target;
      const upstream = connect({ host, port, noDelay: true, allowHalfOpen: true });
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
        socket.pipe(other);
      }
    });
  }

  static async open(port: number, target: RelayOptions['target']): Promise<TcpRelay> {
    const relay = new TcpRelay(target);
    relay.#server.listen(port, LOOPBACK);
    await once(relay.#server, 'listening');
    return relay;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}

/**
 * A UDP relay on loopback that delays, loses, reorders and duplicates by a seed, and changes its source ports on
 * demand. It serves any number of clients.
 */
export async function createRelay(options: RelayOptions): Promise<Relay> {
  const relay = new UdpRelay(options, await open(options.port));
  if (options.tcp) await relay.passTcp();
  return relay;
}
