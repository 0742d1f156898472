/** What one stream-related frame of a packet was. */
export const Sent = {
  STREAM: 0,
  /** RESET_STREAM or RESET_STREAM_AT. */
  RESET_STREAM: 1,
  STOP_SENDING: 2,
  MAX_DATA: 3,
  MAX_STREAM_DATA: 4,
  MAX_STREAMS: 5,
  DATA_BLOCKED: 6,
  STREAM_DATA_BLOCKED: 7,
  STREAMS_BLOCKED: 8,
} as const;
export type Sent = (typeof Sent)[keyof typeof Sent];

/**
 * What a packet carried for streams: on loss, what of it still matters is written anew, not the old frame again.
 * Opaque outside this folder; give it back by `onDelivered` or `onLost`.
 */
export interface StreamRetransmit {
  readonly kind: 'stream-set';
  readonly what: Sent;
  /** Stream ID; for MAX_STREAMS and STREAMS_BLOCKED 0 is bidirectional and 1 unidirectional. */
  readonly streamId: number;
  /** First offset of a STREAM frame; the limit of a flow control frame; the reliable size of a reset. */
  readonly start: number;
  /** One past the last offset of a STREAM frame. */
  readonly end: number;
  readonly fin: boolean;
}

/** Where `StreamSet` notes what it wrote: an array of anything that may hold them. */
export interface StreamRetransmitSink {
  push(retransmit: StreamRetransmit): unknown;
}

/** Of any frame but STREAM. */
export function controlRetransmit(what: Sent, streamId: number, limit: number): StreamRetransmit {
  return { kind: 'stream-set', what, streamId, start: limit, end: 0, fin: false };
}
