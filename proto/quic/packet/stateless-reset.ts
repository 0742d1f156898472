import { createHmac, timingSafeEqual } from 'node:crypto';
import type { RandomSource } from '../types.ts';

/** Octets of a stateless reset token. */
export const RESET_TOKEN_OCTETS = 16;
/** Smallest datagram that can be a stateless reset (RFC 9000 §10.3). */
export const MIN_RESET_OCTETS = 21;
/** What we send when what arrived was longer: RFC 9000 §10.3 wants it to look like a small packet under any CID length. */
const USUAL_RESET_OCTETS = 42;

/**
 * The stateless reset token of a CID (RFC 9000 §10.3.2): any process that holds `key` makes the same one, so that a living backend can
 * answer for a dead one.
 */
export function statelessResetToken(key: Uint8Array, connectionId: Uint8Array): Uint8Array {
  const digest = createHmac('sha256', key).update('parley stateless reset').update(connectionId).digest();
  return Uint8Array.from(digest.subarray(0, RESET_TOKEN_OCTETS));
}

/**
 * A Stateless Reset in answer to a datagram of `triggerOctets`. Always smaller than that, so that two endpoints cannot
 * answer each other without end (RFC 9000 §10.3.3); `undefined` when that leaves no room for one.
 */
export function buildStatelessReset(
  token: Uint8Array,
  triggerOctets: number,
  random: RandomSource,
): Uint8Array | undefined {
  const length = Math.min(triggerOctets - 1, USUAL_RESET_OCTETS);
  if (length < MIN_RESET_OCTETS) return undefined;
  const out = new Uint8Array(length);
  out.set(random(length - RESET_TOKEN_OCTETS));
  // RFC 9000 §10.3: it looks like a short header packet.
  out[0] = (out[0]! & 0x3f) | 0x40;
  out.set(token, length - RESET_TOKEN_OCTETS);
  return out;
}

/**
 * Whether a datagram that no key opened ends with `token`, compared in constant time (RFC 9000 §10.3.1). Only the token of a CID in
 * use is to be asked for.
 */
export function isStatelessReset(datagram: Uint8Array, token: Uint8Array): boolean {
  if (datagram.length < MIN_RESET_OCTETS || token.length !== RESET_TOKEN_OCTETS) return false;
  return timingSafeEqual(datagram.subarray(datagram.length - RESET_TOKEN_OCTETS), token);
}
