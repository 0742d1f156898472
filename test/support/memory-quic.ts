import type { QuicEvent, QuicStats, QuicTransport, StreamDirection } from '../../proto/quic/index.ts';
import { concat } from '../../proto/wire/index.ts';
import { NO_STATS } from './quic-stats.ts';

type Operation =
  | { readonly kind: 'data'; readonly data: Uint8Array; readonly fin: boolean }
  | { readonly kind: 'reset'; readonly code: number }
  | { readonly kind: 'stop'; readonly code: number }
  | { readonly kind: 'datagram'; readonly data: Uint8Array };

interface Incoming {
  parts: Uint8Array[];
  fin: boolean;
  ended: boolean;
  told: boolean;
}

export interface MemoryQuicOptions {
  /** Octets of a stream that arrive at a time; default all of a write. */
  readonly octetsPerEvent?: number;
  /** Which of `count` waiting streams is served next; default the one that waits longest. */
  readonly pick?: (count: number) => number;
  readonly maxStreams?: number;
  readonly maxDatagramOctets?: number;
}

const DATAGRAMS = -1;
/** One end of a pair that carries streams and datagrams in memory: order holds within a stream, not between streams. */
export class MemoryQuic implements QuicTransport {
  readonly role: 'client' | 'server';
  peer: MemoryQuic | undefined;
  /** How the connection was closed, by either end. */
  closedWith: { readonly code: number; readonly reason: string; readonly by: 'local' | 'peer' } | undefined;
  readonly #options: MemoryQuicOptions;
  #maxStreams: number;
  readonly #events: QuicEvent[] = [];
  readonly #incoming = new Map<number, Incoming>();
  /** Halves that this end may send on. */
  readonly #sendable = new Set<number>();
  readonly #inbox = new Map<number, Operation[]>();
  readonly #opened: Record<StreamDirection, number> = { bidirectional: 0, unidirectional: 0 };
  /** Codes of the RESET_STREAM and STOP_SENDING that the peer sent, by stream. */
  readonly resets = new Map<number, number>();
  readonly stops = new Map<number, number>();
  readonly priorities = new Map<number, number>();
  /** Octets that a reset of ours would still deliver; over memory they do not. */
  readonly reliable = new Map<number, number>();

  constructor(role: 'client' | 'server', options: MemoryQuicOptions = {}) {
    this.role = role;
    this.#options = options;
    this.#maxStreams = options.maxStreams ?? 1000;
  }

  /** As if the handshake were done. */
  start(): void {
    this.#events.push({ type: 'writable' });
    this.#events.push({ type: 'connected', alpn: 'h3', serverName: 'localhost', handshakeMs: 1 });
  }

  poll(): QuicEvent | undefined {
    return this.#events.shift();
  }

  openStream(direction: StreamDirection): number | undefined {
    const count = this.#opened[direction];
    if (this.closedWith || count >= this.#maxStreams) return undefined;
    this.#opened[direction]++;
    const id = count * 4 + (direction === 'unidirectional' ? 2 : 0) + (this.role === 'server' ? 1 : 0);
    this.#sendable.add(id);
    if (direction === 'bidirectional')
      this.#incoming.set(id, { parts: [], fin: false, ended: false, told: false });
    return id;
  }

  /** As if the peer's MAX_STREAMS came; `streamsAvailable` is the caller's to tell. */
  allow(maxStreams: number): void {
    this.#maxStreams = maxStreams;
  }

  writeStream(streamId: number, data: Uint8Array, fin = false): void {
    if (!this.#sendable.has(streamId) || this.closedWith) return;
    this.#send(streamId, { kind: 'data', data: data.slice(), fin });
    if (fin) this.#sendable.delete(streamId);
  }

  #send(key: number, operation: Operation): void {
    const inbox = this.peer?.inbox;
    if (inbox === undefined) return;
    const queue = inbox.get(key);
    if (queue === undefined) inbox.set(key, [operation]);
    else queue.push(operation);
  }

  get inbox(): Map<number, Operation[]> {
    return this.#inbox;
  }

  streamBufferedOctets(): number {
    return 0;
  }

  readStream(
    streamId: number,
    maxOctets = Number.POSITIVE_INFINITY,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined {
    const stream = this.#incoming.get(streamId);
    if (stream === undefined || stream.ended || (stream.parts.length === 0 && !stream.fin)) {
      if (stream) stream.told = false;
      return undefined;
    }
    const all = concat(stream.parts);
    const data = all.subarray(0, maxOctets);
    stream.parts = data.length < all.length ? [all.subarray(data.length)] : [];
    const fin = stream.fin && stream.parts.length === 0;
    stream.ended = fin;
    return { data, fin };
  }

  resetStream(streamId: number, code: number, reliableOctets = 0): void {
    this.reliable.set(streamId, reliableOctets);
    if (!this.#sendable.delete(streamId) || this.closedWith) return;
    const inbox = this.peer?.inbox;
    const stops = inbox?.get(streamId)?.filter(({ kind }) => kind === 'stop') ?? [];
    inbox?.delete(streamId);
    for (const operation of [...stops, { kind: 'reset', code } as const]) this.#send(streamId, operation);
  }

  stopSending(streamId: number, code: number): void {
    const stream = this.#incoming.get(streamId);
    if (stream === undefined || stream.ended || this.closedWith) return;
    this.#incoming.delete(streamId);
    this.#send(streamId, { kind: 'stop', code });
  }

  setStreamPriority(streamId: number, priority: number): void {
    this.priorities.set(streamId, priority);
  }

  sendDatagram(data: Uint8Array): boolean {
    if (this.closedWith || data.length > this.maxDatagramOctets()) return false;
    this.#send(DATAGRAMS, { kind: 'datagram', data: data.slice() });
    return true;
  }

  maxDatagramOctets(): number {
    return this.#options.maxDatagramOctets ?? 1200;
  }

  close(code: number, reason: string): void {
    this.#closed(code, reason, 'local');
    if (this.peer !== undefined) this.peer.#closed(code, reason, 'peer');
  }

  #closed(code: number, reason: string, by: 'local' | 'peer'): void {
    if (this.closedWith) return;
    this.closedWith = { code, reason, by };
    this.#inbox.clear();
    this.#events.push({ type: 'closed', reason: { kind: 'application', by, code, reason } });
  }

  stats(): QuicStats {
    return NO_STATS;
  }

  /** Delivers one waiting operation, or a part of it; false when none waits. */
  deliver(): boolean {
    const keys = [...this.#inbox.keys()];
    if (keys.length === 0) return false;
    const key = keys[(this.#options.pick?.(keys.length) ?? 0) % keys.length] as number;
    const queue = this.#inbox.get(key) as Operation[];
    const operation = queue.shift() as Operation;
    const size = this.#options.octetsPerEvent;
    if (operation.kind === 'data' && size !== undefined && operation.data.length > size) {
      queue.unshift({ ...operation, data: operation.data.subarray(size) });
      this.#arrive(key, { kind: 'data', data: operation.data.subarray(0, size), fin: false });
    } else this.#arrive(key, operation);
    if (queue.length === 0) this.#inbox.delete(key);
    return true;
  }

  #arrive(streamId: number, operation: Operation): void {
    if (operation.kind === 'datagram') {
      this.#events.push({ type: 'datagram', data: operation.data });
      return;
    }
    this.#ensure(streamId);
    if (operation.kind === 'stop') {
      this.stops.set(streamId, operation.code);
      if (this.#sendable.has(streamId)) this.resetStream(streamId, operation.code);
      this.#events.push({ type: 'streamStopped', streamId, code: operation.code });
      return;
    }
    const stream = this.#incoming.get(streamId);
    if (operation.kind === 'reset') {
      this.resets.set(streamId, operation.code);
      if (stream === undefined || stream.ended) return;
      stream.ended = true;
      this.#events.push({ type: 'streamReset', streamId, code: operation.code });
      return;
    }
    if (operation.fin) this.peer?.finished(streamId);
    if (stream === undefined || stream.ended) return;
    if (operation.data.length > 0) stream.parts.push(operation.data);
    stream.fin ||= operation.fin;
    if (stream.told) return;
    stream.told = true;
    this.#events.push({ type: 'streamReadable', streamId });
  }

  finished(streamId: number): void {
    this.#events.push({ type: 'streamFinished', streamId });
  }

  #ensure(streamId: number): void {
    const initiator = streamId % 2 === 0 ? 'client' : 'server';
    if (initiator === this.role || this.#seen.has(streamId)) return;
    this.#seen.add(streamId);
    const direction = streamId % 4 >= 2 ? 'unidirectional' : 'bidirectional';
    this.#incoming.set(streamId, { parts: [], fin: false, ended: false, told: false });
    if (direction === 'bidirectional') this.#sendable.add(streamId);
    this.#events.push({ type: 'streamOpened', streamId, direction });
  }

  readonly #seen = new Set<number>();
}

/** Two ends that are joined. Nothing moves until `deliver` is called on the receiving end. */
export function memoryQuicPair(options: MemoryQuicOptions = {}): { client: MemoryQuic; server: MemoryQuic } {
  const client = new MemoryQuic('client', options);
  const server = new MemoryQuic('server', options);
  client.peer = server;
  server.peer = client;
  return { client, server };
}

/** Hands each end's events to its owner and delivers what waits, until nothing moves. Bounded, so that a loop shows. */
export function settle(
  ends: readonly { readonly quic: MemoryQuic; readonly handleEvent: (event: QuicEvent) => void }[],
  maxSteps = 1_000_000,
): void {
  for (let step = 0; step < maxSteps; step++) {
    let moved = false;
    for (const { quic, handleEvent } of ends) {
      for (let event = quic.poll(); event !== undefined; event = quic.poll()) {
        handleEvent(event);
        moved = true;
      }
      if (quic.deliver()) moved = true;
    }
    if (!moved) return;
  }
  throw new Error(`nothing settled in ${maxSteps} steps`);
}
