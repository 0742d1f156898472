import { randomFillSync } from 'node:crypto';
import type { RandomSource } from '../proto/quic/index.ts';

/** Octets that are drawn at a time. */
const POOL_OCTETS = 4096;

/**
 * Random octets from the system's generator, drawn many at a time: a call for a few costs a microsecond and a half, and each
 * answer to a first packet takes several. What was given out is erased here.
 */
export function createRandomSource(): RandomSource {
  const pool = new Uint8Array(POOL_OCTETS);
  let at = POOL_OCTETS;
  return (length) => {
    if (length > POOL_OCTETS / 4) return randomFillSync(new Uint8Array(length));
    if (at + length > POOL_OCTETS) {
      randomFillSync(pool);
      at = 0;
    }
    const out = pool.slice(at, at + length);
    pool.fill(0, at, at + length);
    at += length;
    return out;
  };
}
