import { createHmac } from 'node:crypto';
import { Writer } from '../wire/index.ts';
import { type HashName, hashOctets } from './suites.ts';

/** A digest as a plain array: Node hands out `Buffer`s, which compare and slice differently. */
export function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

export function hmac(key: Uint8Array, data: Uint8Array, hash: HashName): Uint8Array {
  return plain(createHmac(hash, key).update(data).digest());
}

/** HKDF-Extract (RFC 5869 §2.2), with SHA-256 unless another hash is named. */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array, hash: HashName = 'sha256'): Uint8Array {
  return hmac(salt, ikm, hash);
}

/** HKDF-Expand (RFC 5869 §2.3); `length` in octets, up to 255 times those of the hash. */
function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number, hash: HashName): Uint8Array {
  if (length > 255 * hashOctets(hash)) throw new RangeError(`HKDF cannot expand to ${length} octets`);
  const out = new Uint8Array(length);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; counter++) {
    block = plain(createHmac(hash, prk).update(block).update(info).update(Uint8Array.of(counter)).digest());
    out.set(block.subarray(0, length - at), at);
    at += block.length;
  }
  return out;
}

/**
 * HKDF-Expand-Label (RFC 8446 §7.1), with SHA-256 unless another hash is named. `label` goes without its "tls13 " prefix;
 * `length` in octets.
 */
export function hkdfExpandLabel(
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
  hash: HashName = 'sha256',
): Uint8Array {
  const full = `tls13 ${label}`;
  const info = Writer.growing(64).u16(length).u8(full.length).utf8(full).u8(context.length).bytes(context);
  return hkdfExpand(secret, info.finish(), length, hash);
}
