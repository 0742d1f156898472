/** What carries a session. */
export type Carrier = 'webtransport' | 'tcp';

/** A session that stands: the part of W3C WebTransport that a call uses, whatever carries it. */
export interface CarrierSession {
  readonly carrier: Carrier;
  /** Fulfils when either side closed the session, rejects when it was lost. */
  readonly closed: Promise<{ readonly closeCode?: number; readonly reason?: string }>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  /** Fulfils when a better way is open again (UDP works): the call dials once more and moves to it without a pause. */
  readonly better?: Promise<unknown>;
  createBidirectionalStream(options: { readonly sendOrder: number }): Promise<{
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }>;
  createUnidirectionalStream(options: { readonly sendOrder: number }): Promise<WritableStream<Uint8Array>>;
  close(info?: { readonly closeCode: number; readonly reason: string }): void;
}

export interface DialOptions {
  /** Where calls over TCP are dialled: `https://host:port`. Absent: at the host and port of the URL. */
  readonly tcpUrl?: string | undefined;
  readonly certificateHashes: readonly string[] | undefined;
  /** Longest wait for the session, in ms. */
  readonly timeoutMs: number;
  /** Aborted: the session is not wanted, and what was opened is closed. */
  readonly signal: AbortSignal;
}
