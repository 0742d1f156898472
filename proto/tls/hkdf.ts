import { createHmac } from 'node:crypto';
import { Writer } from '../wire/index.ts';

/** Octets of a SHA-256 hash; both cipher suites use it. */
export const HASH_LENGTH = 32;

/** A digest as a plain array: Node hands out `Buffer`s, which compare and slice differently. */
export function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

export function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return plain(createHmac('sha256', key).update(data).digest());
}

/** HKDF-Extract with SHA-256 (RFC 5869 §2.2). */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return hmac(salt, ikm);
}

/** HKDF-Expand with SHA-256 (RFC 5869 §2.3); `length` in octets, up to 255 × 32. */
function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > 255 * HASH_LENGTH) throw new RangeError(`HKDF cannot expand to ${length} octets`);
  const out = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; counter++) {
    block = plain(
      createHmac('sha256', prk).update(block).update(info).update(Uint8Array.of(counter)).digest(),
    );
    out.set(block.subarray(0, length - at), at);
    at += block.length;
  }
  return out;
}

/**
 * HKDF-Expand-Label with SHA-256 (RFC 8446 §7.1). `label` goes without its "tls13 " prefix; `length` in octets.
 */
export function hkdfExpandLabel(
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const full = `tls13 ${label}`;
  const info = Writer.growing(64).u16(length).u8(full.length).utf8(full).u8(context.length).bytes(context);
  return hkdfExpand(secret, info.finish(), length);
}
