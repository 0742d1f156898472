/** How many numbers so many octets tell apart. */
const WINDOWS = [1, 2 ** 8, 2 ** 16, 2 ** 24, 2 ** 32];

/**
 * Octets to send `packetNumber` in (RFC 9000 §17.1, Appendix A.2): enough for twice the distance from the largest one
 * acknowledged in its space, `undefined` when none was.
 */
export function packetNumberLength(packetNumber: number, largestAcked: number | undefined): 1 | 2 | 3 | 4 {
  const outstanding = largestAcked === undefined ? packetNumber + 1 : packetNumber - largestAcked;
  if (outstanding <= 0x80) return 1;
  if (outstanding <= 0x8000) return 2;
  if (outstanding <= 0x80_0000) return 3;
  return 4;
}

/**
 * The packet number nearest to `expected` (the largest received plus one) whose last `octets` octets are `truncated`
 * (RFC 9000 Appendix A.3). Exact while numbers are below 2^53.
 */
export function decodePacketNumber(expected: number, truncated: number, octets: number): number {
  // No shift: four octets have 32 bits, of which the last is a sign there. No power: it is a call.
  const window = WINDOWS[octets] as number;
  const half = window / 2;
  const candidate = expected - (expected % window) + truncated;
  if (candidate <= expected - half && candidate + window <= Number.MAX_SAFE_INTEGER)
    return candidate + window;
  if (candidate > expected + half && candidate >= window) return candidate - window;
  return candidate;
}
