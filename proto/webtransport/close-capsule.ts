import { encodeCapsule } from '../http3/index.ts';
import { Reader, WireError, Writer } from '../wire/index.ts';
import { CapsuleType } from './codes.ts';

/** Octets of UTF-8 that a close reason may take (draft-ietf-webtrans-http3 §6). */
const MAX_REASON_OCTETS = 1024;
const CODE_OCTETS = 4;
/** Octets of a whole close capsule's value at most. */
export const MAX_CLOSE_OCTETS = CODE_OCTETS + MAX_REASON_OCTETS;

export interface SessionClose {
  readonly code: number;
  readonly reason: string;
}

/** WT_CLOSE_SESSION; a longer reason is cut between two characters. */
export function encodeClose(code: number, reason: string): Uint8Array {
  const value = Writer.growing(64).u32(code).bytes(truncated(reason)).finish();
  return encodeCapsule(CapsuleType.CLOSE_SESSION, value);
}

function truncated(reason: string): Uint8Array {
  const octets = new TextEncoder().encode(reason);
  let end = Math.min(octets.length, MAX_REASON_OCTETS);
  // 10xxxxxx continues a character: go back to where one begins.
  while (end < octets.length && end > 0 && ((octets[end] as number) & 0xc0) === 0x80) end--;
  return octets.subarray(0, end);
}

/** The value of WT_CLOSE_SESSION; `undefined` when it is malformed. */
export function decodeClose(value: Uint8Array): SessionClose | undefined {
  try {
    const reader = new Reader(value);
    const code = reader.u32();
    return { code, reason: reader.utf8(reader.remaining) };
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
