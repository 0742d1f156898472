/**
 * Streams that a client may have open at once, of each direction. Far more than a call needs, because Chromium does not wait for
 * credit: it fails `createBidirectionalStream` at once when there is none, though the W3C would have it wait. A stream that
 * is open costs about 10 KiB here (half of it, when it is unidirectional), so a hostile client gets some 8 MiB.
 */
export const MAX_CLIENT_STREAMS = 512;

export const CLIENT_STREAM_LIMITS = {
  initialMaxStreamsBidi: MAX_CLIENT_STREAMS,
  initialMaxStreamsUni: MAX_CLIENT_STREAMS,
} as const;
