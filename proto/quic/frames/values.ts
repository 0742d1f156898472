import { MAX_SAFE_VARINT, type Reader } from '../../wire/index.ts';

const TWO_62 = 2 ** 62;

/**
 * A limit or code of the peer, clamped to what a number holds exactly (2^53 - 1): as a limit it is never reached,
 * and as a code it can be echoed.
 */
export function readClamped(reader: Reader): number {
  return Math.min(reader.varint(), MAX_SAFE_VARINT);
}

/** A count of streams, or `undefined` above 2^60, which no stream ID could name (RFC 9000 §4.6). Clamped to 2^53 - 1. */
export function readStreamCount(reader: Reader): number | undefined {
  if (reader.peekU8() < 0xc0) return reader.varint();
  // By halves: 2^60 + 1 as a double would round to the limit itself.
  const high = reader.u32() & 0x3fff_ffff;
  const low = reader.u32();
  if (high > 0x1000_0000 || (high === 0x1000_0000 && low > 0)) return undefined;
  return Math.min(high * 0x1_0000_0000 + low, MAX_SAFE_VARINT);
}

/** Whether data at `offset` ends beyond the greatest stream offset, 2^62 - 1 (RFC 9000 §19.6, §19.8). */
export function endsBeyondWire(offset: number, length: number): boolean {
  return offset + length >= TWO_62;
}
