import { ReadableStream, type ReadableStreamDefaultController, WritableStream } from 'node:stream/web';
import type { QuicStats } from '../../proto/quic/index.ts';
import { IncomingStreams } from '../webtransport/incoming.ts';
import { MAX_CLIENT_STREAMS } from '../webtransport/limits.ts';
import {
  type BidirectionalStream,
  type CloseInfo,
  type SendStream,
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from '../webtransport/types.ts';
import type { LibrarySession, LibrarySessionListener, LibraryStream } from './library.ts';
import { TcpStream } from './streams.ts';

const WT_DRAIN_SESSION = 0x78ae;
/** Octets of a capsule that is not all there; only those of streams come in parts. */
const MAX_PARTIAL_OCTETS = 32 * 1024;
/** Pieces of one stream that wait for its reader. Its window bounds their octets, and not how small they are. */
const MAX_UNREAD_PIECES = 4096;
/** Octets that wait for the socket: answers to a client that sends and never reads. */
const MAX_WAITING_OCTETS = 8 << 20;
/** Streams of one session in all: the library remembers the ID of each. */
const MAX_STREAMS_IN_ALL = 65_536;
const MAX_DATAGRAMS = 64;
/** Time for the other side to close the socket of a session that ended, in ms. */
const LINGER_MS = 2000;

/** Why a session was ended for what its client did. */
export const SESSION_FAULTS = ['malformed', 'fragmented', 'partial', 'pieces', 'streams', 'waiting'] as const;
export type SessionFault = (typeof SESSION_FAULTS)[number];

export interface TcpSessionHost {
  stats(): QuicStats;
  fault(fault: SessionFault): void;
  /** The session is over, and its socket if it was its own. */
  ended(session: TcpSession): void;
}

/** Takes what still comes for a stream that is over, and credits it: it counts in the session's window. */
function makeTombstone({ flowController }: LibrarySession): object {
  return {
    recvData({ data }: { readonly data?: Uint8Array }) {
      if (data === undefined) return;
      flowController.updateHighestReceivedOffset(data.length);
      flowController.addBytesConsumed(data.length);
    },
    onFin() {},
    onStreamSignal() {},
    hasPendingData: () => false,
    drainWrites() {},
    jsobj: { onStreamRecvSignal() {} },
    flowController: { updateSendWindowOffset: () => false },
  };
}

/**
 * A session over TCP in the W3C's shape. The library parses and keeps flow control; this bounds what it does not, and ends the session
 * when it throws: one frame with a length above 2^31 makes it do so.
 */
export class TcpSession implements WebTransportSession, LibrarySessionListener {
  readonly request: SessionRequest;
  readonly protocol: string;
  readonly ready = Promise.resolve();
  readonly draining: Promise<void>;
  readonly closed: Promise<CloseInfo>;
  state: LibrarySessionListener['state'] = 'connected';
  readonly objint: LibrarySession;
  readonly #host: TcpSessionHost;
  readonly #tombstone: object;
  readonly #streams = new Set<TcpStream>();
  readonly #bidirectional = new IncomingStreams<BidirectionalStream>((stream) => refuse(stream.readable));
  readonly #unidirectional = new IncomingStreams<ReadableStream<Uint8Array>>(refuse);
  readonly #waiting = {
    bidirectional: [] as Waiting[],
    unidirectional: [] as Waiting[],
  };
  #incomingDatagrams: ReadableStreamDefaultController<Uint8Array> | undefined;
  #datagrams: WebTransportSession['datagrams'] | undefined;
  #settleClosed!: { resolve(info: CloseInfo): void; reject(error: Error): void };
  #settleDraining!: () => void;

  constructor(native: LibrarySession, request: SessionRequest, protocol: string, host: TcpSessionHost) {
    this.objint = native;
    this.request = request;
    this.protocol = protocol;
    this.#host = host;
    this.#tombstone = makeTombstone(native);
    this.draining = new Promise((resolve) => {
      this.#settleDraining = resolve;
    });
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = { resolve, reject };
    });
    this.closed.catch(() => {}); // not to look at `closed` is no unhandled rejection
    native.jsobj = this;
    this.#guard();
    native.sendInitialParameters();
  }

  /** What the library throws, and what it keeps without bound, ends the session. */
  #guard(): void {
    const { capsParser: parser } = this.objint;
    const parse = parser.parseData.bind(parser);
    parser.parseData = (data) => {
      if (this.state === 'closed') return;
      try {
        parse(data);
      } catch {
        this.#fail('malformed');
        return;
      }
      const fault = this.#overBound();
      if (fault !== undefined) this.#fail(fault);
    };
    const closed = parser.onCloseWebTransportSession.bind(parser);
    parser.onCloseWebTransportSession = (info) => {
      this.#end({ closeCode: info.code, reason: info.reason });
      closed(info);
    };
  }

  #overBound(): SessionFault | undefined {
    const { capsParser: parser, stream } = this.objint;
    // The library loses the end of a message in several frames.
    if (parser.contframes !== undefined) return 'fragmented';
    if ((parser.saveddata?.length ?? 0) > MAX_PARTIAL_OCTETS) return 'partial';
    if (stream.writableLength > MAX_WAITING_OCTETS) return 'waiting';
    if (parser.wtstreams.size > MAX_STREAMS_IN_ALL || this.#streams.size > 4 * MAX_CLIENT_STREAMS)
      return 'streams';
    for (const { unreadPieces } of this.#streams) if (unreadPieces > MAX_UNREAD_PIECES) return 'pieces';
    return undefined;
  }

  #fail(fault: SessionFault): void {
    if (this.state === 'closed') return;
    this.#host.fault(fault);
    this.#end(new Error(`the client broke the protocol (${fault})`));
    this.objint.stream.destroy();
  }

  onBidirectionalStream(listener: (stream: BidirectionalStream) => void): () => void {
    return this.#bidirectional.listen(listener);
  }

  onUnidirectionalStream(listener: (stream: ReadableStream<Uint8Array>) => void): () => void {
    return this.#unidirectional.listen(listener);
  }

  get incomingBidirectionalStreams(): ReadableStream<BidirectionalStream> {
    return this.#bidirectional.readable;
  }

  get incomingUnidirectionalStreams(): ReadableStream<ReadableStream<Uint8Array>> {
    return this.#unidirectional.readable;
  }

  get datagrams(): WebTransportSession['datagrams'] {
    this.#datagrams ??= {
      readable: new ReadableStream<Uint8Array>(
        {
          start: (controller) => {
            this.#incomingDatagrams = controller;
          },
          cancel: () => {
            this.#incomingDatagrams = undefined;
          },
        },
        { highWaterMark: MAX_DATAGRAMS },
      ),
      writable: new WritableStream<Uint8Array>({
        write: (data) => {
          // A datagram may be lost: one that would only wait is.
          if (this.state === 'connected' && !this.objint.stream.writableNeedDrain)
            this.objint.writeDatagram(data);
        },
      }),
      maxDatagramSize: this.objint.getMaxDatagramSize(),
    };
    return this.#datagrams;
  }

  async createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream> {
    const { readable, writable } = await this.#open('bidirectional', options);
    return { readable: readable!, writable: writable! };
  }

  async createUnidirectionalStream(options?: { sendOrder?: number }): Promise<SendStream> {
    return (await this.#open('unidirectional', options)).writable!;
  }

  #open(direction: 'bidirectional' | 'unidirectional', options?: { sendOrder?: number }): Promise<TcpStream> {
    if (this.state !== 'connected') return Promise.reject(new StreamError(null, 'the session is closed'));
    const order = { sendOrder: options?.sendOrder ?? 0, waitUntilAvailable: true } as const;
    return new Promise((resolve, reject) => {
      this.#waiting[direction].push({ resolve, reject });
      if (direction === 'bidirectional') this.objint.orderBidiStream(order);
      else this.objint.orderUnidiStream(order);
    });
  }

  close(info: Partial<CloseInfo> = {}): void {
    if (this.state === 'closed') return;
    const { closeCode = 0, reason = '' } = info;
    this.objint.close({ code: closeCode, reason });
    this.#end({ closeCode, reason });
  }

  drain(): void {
    if (this.state !== 'connected') return;
    this.objint.capsParser.writeCapsule({ type: WT_DRAIN_SESSION, headerVints: [], payload: undefined });
  }

  stats(): QuicStats {
    return this.#host.stats();
  }

  /** A TCP connection has one path for all its life. */
  onNetworkChange(): () => void {
    return () => {};
  }

  onReady(): void {}

  onClose({ error }: { readonly error?: string }): void {
    this.#end(new Error(error ? `the connection was lost: ${error}` : 'the connection was lost'));
  }

  onStream({ stream, bidirectional, incoming }: Parameters<LibrarySessionListener['onStream']>[0]): void {
    const made = new TcpStream(
      { state: this.state, objint: this.objint, forget: (gone) => this.#forget(gone) },
      stream,
      { reads: bidirectional || incoming, writes: bidirectional || !incoming },
    );
    this.#streams.add(made);
    if (!incoming) this.#waiting[bidirectional ? 'bidirectional' : 'unidirectional'].shift()?.resolve(made);
    else if (bidirectional) this.#bidirectional.add({ readable: made.readable!, writable: made.writable! });
    else this.#unidirectional.add(made.readable!);
  }

  onDatagramReceived({ datagram }: { readonly datagram: Uint8Array }): void {
    const controller = this.#incomingDatagrams;
    if (controller !== undefined && (controller.desiredSize ?? 0) > 0) controller.enqueue(datagram.slice());
  }

  onGoAwayReceived(): void {
    this.#settleDraining();
  }

  #forget(stream: TcpStream): void {
    this.#streams.delete(stream);
    const { capsParser } = this.objint;
    const id = (stream.native as LibraryStream).streamid;
    if (capsParser.wtstreams.has(id)) capsParser.wtstreams.set(id, this.#tombstone);
  }

  #end(outcome: CloseInfo | Error): void {
    if (this.state === 'closed') return;
    const lost = outcome instanceof Error;
    const error = lost
      ? outcome
      : new StreamError(null, `the session was closed${outcome.reason ? `: ${outcome.reason}` : ''}`);
    for (const stream of [...this.#streams]) stream.fail(error);
    this.state = 'closed';
    for (const { reject } of [...this.#waiting.bidirectional, ...this.#waiting.unidirectional]) reject(error);
    this.#bidirectional.end(lost ? error : undefined);
    this.#unidirectional.end(lost ? error : undefined);
    try {
      if (lost) this.#incomingDatagrams?.error(error);
      else this.#incomingDatagrams?.close();
    } catch {
      // It was cancelled.
    }
    this.#incomingDatagrams = undefined;
    const { stream } = this.objint;
    setTimeout(() => stream.destroy(), LINGER_MS).unref();
    this.#host.ended(this);
    if (lost) this.#settleClosed.reject(error);
    else this.#settleClosed.resolve(outcome);
  }
}

interface Waiting {
  resolve(stream: TcpStream): void;
  reject(error: Error): void;
}

function refuse(readable: ReadableStream<Uint8Array>): void {
  readable.cancel(new StreamError(0, 'too many streams')).catch(() => {});
}
