/**
 * The one error a cursor throws: the input ended early, a value does not fit, or a buffer is full.
 * Each protocol maps it to the code its own specification names (for QUIC: FRAME_ENCODING_ERROR).
 */
export class WireError extends Error {
  override readonly name = 'WireError';
}
