import type { ReadableStream, WritableStream, WritableStreamDefaultWriter } from 'node:stream/web';
import type { Address, QuicStats } from '../../proto/quic/index.ts';

/** The writer of a stream, shaped as the W3C's `WebTransportWriter`. */
export interface SendWriter extends WritableStreamDefaultWriter<Uint8Array> {
  /**
   * Commits to all writes that were fulfilled: their octets reach the peer even when the stream is aborted later. Needs a peer that
   * takes RESET_STREAM_AT; absent where the carrier has nothing like it.
   */
  commit?(): void;
  /**
   * Writes at once, without the promise of `write`. False when the stream takes no more for now, or is over: use `write` then.
   * Parley's own, for what is written by the hundred a second; absent where the carrier has nothing like it.
   */
  writeNow?(chunk: Uint8Array): boolean;
}

/** Reads without a promise for each chunk. Parley's own, beside the reader of a stream that has it. */
export interface DirectReader {
  /** What has arrived and no read waits for; `undefined` when there is nothing, or what comes next is the end of the stream. */
  readNow(): Uint8Array | undefined;
  /** What comes next has to be read from the stream: its end, its failure, or what a session left behind. */
  readonly over: boolean;
  /** Calls back each time there may be more, or the end, to read; `undefined` stops that. One listener. */
  onReadable(listener: (() => void) | undefined): void;
}

/** Writes without a promise for each chunk. Parley's own, beside the writer of a stream that has it. */
export interface DirectWriter {
  /** Writes at once. False when the stream takes no more for now, or is over: use its writer then, and from then on. */
  writeNow(chunk: Uint8Array): boolean;
  /** As `commit` of `SendWriter`, for all that was written. */
  commit(): void;
  /** Resets the stream with the error's code, as `abort` does. */
  reset(error: StreamError): void;
}

/** The receiving half of a stream, with what reads it directly where the carrier has that. */
export interface ReceiveStream extends ReadableStream<Uint8Array> {
  readonly direct?: DirectReader;
}

/** The sending half of a stream, shaped as the W3C's `WebTransportSendStream`. */
export interface SendStream extends WritableStream<Uint8Array> {
  getWriter(): SendWriter;
}

/** A bidirectional stream, shaped as the W3C's `WebTransportBidirectionalStream`. */
export interface BidirectionalStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: SendStream;
  /** Reads what `readable` would, as long as nothing reads that; absent where the carrier has nothing like it. */
  readonly direct?: DirectReader;
  /** Writes what `writable` would, as long as nothing writes to that; absent where the carrier has nothing like it. */
  readonly directWriter?: DirectWriter;
}

/** How a session ended, shaped as the W3C's `WebTransportCloseInfo`. */
export interface CloseInfo {
  readonly closeCode: number;
  readonly reason: string;
}

/** What the client asked for, read from its extended CONNECT. */
export interface SessionRequest {
  readonly path: string;
  /** Query of the path, parsed. */
  readonly query: URLSearchParams;
  readonly authority: string;
  readonly origin: string | undefined;
  /** The TLS server name that the client connected with. */
  readonly serverName?: string | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Application protocols that the client offers, the most wanted first (draft-ietf-webtrans-http3 §3.3). */
  readonly protocols: readonly string[];
  readonly remoteAddress: Address;
}

/** What changed under a session without ending it. */
export type NetworkChange =
  | {
      readonly type: 'path';
      readonly remote: Address;
      readonly previous: Address;
      readonly validated: boolean;
    }
  | { readonly type: 'forwarder'; readonly via: Address | undefined };

/**
 * One WebTransport session, shaped as the W3C's `WebTransport`, whatever carries it (QUIC now, the TCP fallback later).
 * Aborting a `WritableStream`, or cancelling a `ReadableStream`, with a `StreamError` puts its code on the wire.
 */
export interface WebTransportSession {
  readonly request: SessionRequest;
  /** What was chosen of `request.protocols`; empty when nothing was. */
  readonly protocol: string;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  /**
   * Gives each stream that the client opens to a listener, in place of `incomingBidirectionalStreams`; returns the way to take no more of
   * them. Parley's own, as a stream of streams costs some KiB in every session; absent where the carrier has nothing like it.
   */
  onBidirectionalStream?(listener: (stream: BidirectionalStream) => void): () => void;
  /** The same, in place of `incomingUnidirectionalStreams`. */
  onUnidirectionalStream?(listener: (stream: ReadableStream<Uint8Array>) => void): () => void;
  /** Waits while the peer's stream limit allows none. Higher `sendOrder` is sent first. */
  createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream>;
  createUnidirectionalStream(options?: { sendOrder?: number }): Promise<SendStream>;
  readonly datagrams: {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
    readonly maxDatagramSize: number;
  };
  /** Fulfils when the session may be used: on a server it may from the start, since `accept` gave it. Rejects when it ended before. */
  readonly ready: Promise<void>;
  /**
   * Fulfils when the client asks to wind the session up (WT_DRAIN_SESSION, or GOAWAY on its connection); it goes on working. A
   * session that ends without being asked leaves it pending.
   */
  readonly draining: Promise<void>;
  /** Fulfils on a clean close by either side, rejects when the connection was lost. */
  readonly closed: Promise<CloseInfo>;
  close(info?: Partial<CloseInfo>): void;
  /** Tells the client to finish and go elsewhere (WT_DRAIN_SESSION); the session goes on. */
  drain(): void;
  /** Figures of the connection beneath. */
  stats(): QuicStats;
  /** Calls back on every change of address or forwarder; returns the way to stop it. */
  onNetworkChange(listener: (change: NetworkChange) => void): () => void;
}

/**
 * An error with the WebTransport stream code (0 to 2^32 - 1) that goes, or came, over the wire; `null` when what came was no
 * application's doing (draft-ietf-webtrans-http3 §4.4).
 */
export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly streamErrorCode: number | null;

  constructor(streamErrorCode: number | null, message: string) {
    super(message);
    this.streamErrorCode = streamErrorCode;
  }
}
