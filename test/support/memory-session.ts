import { type ReadableStream, TransformStream, type WritableStream } from 'node:stream/web';
import type { QuicStats } from '../../proto/quic/index.ts';
import {
  type BidirectionalStream,
  type CloseInfo,
  type NetworkChange,
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from '../../server/webtransport/types.ts';
import { Incoming } from './incoming-streams.ts';

const STREAM_WINDOW_OCTETS = 64 << 10;

interface Pipe {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  fail(error: Error): void;
}

/** One direction of a stream: aborting the writable errors the readable with the same error, and the other way round. */
function pipe(): Pipe {
  let fail: (error: Error) => void = () => {};
  const octets = new ByteLengthQueuingStrategy({ highWaterMark: STREAM_WINDOW_OCTETS });
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(
    {
      start(controller) {
        fail = (error) => controller.error(error);
      },
      // Written octets are the transport's own from then on.
      transform: (chunk, controller) => controller.enqueue(chunk.slice()),
    },
    octets,
    { highWaterMark: 0 },
  );
  return { readable, writable, fail: (error) => fail(error) };
}

/** One end of a session in memory. `open` counts what has not ended yet, for leak tests. */
export class MemorySession implements WebTransportSession {
  readonly protocol = '';
  readonly request: SessionRequest = {
    path: '/voice',
    query: new URLSearchParams(),
    authority: 'localhost',
    origin: undefined,
    headers: [],
    protocols: [],
    remoteAddress: { host: '127.0.0.1', port: 1 },
  };
  readonly datagrams = { ...pipe(), maxDatagramSize: 1200 };
  readonly ready = Promise.resolve();
  readonly draining: Promise<void>;
  readonly closed: Promise<CloseInfo>;
  peer!: MemorySession;
  drained = 0;
  listeners = 0;
  /** Send orders of the streams this end opened. */
  readonly sendOrders: (number | undefined)[] = [];
  readonly #bidirectional = new Incoming<BidirectionalStream>();
  readonly #unidirectional = new Incoming<ReadableStream<Uint8Array>>();
  readonly #pipes = new Set<Pipe>();
  readonly #network = new Set<(change: NetworkChange) => void>();
  #settle!: { resolve: (info: CloseInfo) => void; reject: (error: Error) => void };
  #over = false;

  #settleDraining!: () => void;

  constructor() {
    this.draining = new Promise((resolve) => {
      this.#settleDraining = resolve;
    });
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.closed.catch(() => {});
  }

  get incomingBidirectionalStreams(): ReadableStream<BidirectionalStream> {
    return this.#bidirectional.readable;
  }

  get incomingUnidirectionalStreams(): ReadableStream<ReadableStream<Uint8Array>> {
    return this.#unidirectional.readable;
  }

  async createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream> {
    const out = this.#pipe(options);
    const back = this.#pipe(options);
    this.peer.#bidirectional.push({ readable: out.readable, writable: back.writable });
    return { readable: back.readable, writable: out.writable };
  }

  async createUnidirectionalStream(options?: { sendOrder?: number }): Promise<WritableStream<Uint8Array>> {
    const out = this.#pipe(options);
    this.peer.#unidirectional.push(out.readable);
    return out.writable;
  }

  close(info: Partial<CloseInfo> = {}): void {
    this.#end({ closeCode: info.closeCode ?? 0, reason: info.reason ?? '' });
    this.peer.#end({ closeCode: info.closeCode ?? 0, reason: info.reason ?? '' });
  }

  /** The connection is lost: both ends see it as an error. */
  lose(): void {
    const error = new Error('connection lost');
    this.#end(undefined, error);
    this.peer.#end(undefined, error);
  }

  drain(): void {
    this.drained += 1;
    this.peer.#settleDraining();
  }

  stats(): QuicStats {
    return {
      handshakeMs: 12.5,
      latestRttMs: 20,
      smoothedRttMs: 21,
      minRttMs: 19,
      rttVarMs: 1,
      congestionWindowOctets: 14_720,
      bytesInFlight: 0,
      ptoCount: 0,
      packetsSent: 4,
      packetsReceived: 5,
      packetsLost: 0,
      packetsDropped: 0,
      octetsSent: 4800,
      octetsReceived: 6000,
      pathChanges: 0,
    };
  }

  onNetworkChange(listener: (change: NetworkChange) => void): () => void {
    this.#network.add(listener);
    this.listeners += 1;
    return () => {
      if (this.#network.delete(listener)) this.listeners -= 1;
    };
  }

  changeNetwork(change: NetworkChange): void {
    for (const listener of this.#network) listener(change);
  }

  #pipe(options?: { sendOrder?: number }): Pipe {
    if (this.#over) throw new Error('the session is closed');
    this.sendOrders.push(options?.sendOrder);
    const made = pipe();
    this.#pipes.add(made);
    return made;
  }

  #end(info: CloseInfo | undefined, error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    for (const made of this.#pipes) made.fail(error ?? new StreamError(0, 'the session is closed'));
    this.#pipes.clear();
    this.#bidirectional.end(error);
    this.#unidirectional.end(error);
    if (info === undefined) this.#settle.reject(error ?? new Error('lost'));
    else this.#settle.resolve(info);
  }
}

/** Two ends of one session. */
export function memorySessionPair(): { client: MemorySession; server: MemorySession } {
  const client = new MemorySession();
  const server = new MemorySession();
  client.peer = server;
  server.peer = client;
  return { client, server };
}
