import { createCipheriv } from 'node:crypto';
import { CipherSuite, suiteParts } from '../../tls/index.ts';

/** Octets of ciphertext that the mask is made from (RFC 9001 §5.4.2). */
export const SAMPLE_OCTETS = 16;

const FIVE_ZEROS = new Uint8Array(5);

/** Makes header protection masks (RFC 9001 §5.4). */
export interface HeaderProtection {
  /** At least 5 octets of mask for the sample of 16 octets at `sampleAt`. */
  mask(data: Uint8Array, sampleAt: number): Uint8Array;
}

/** `key` is the "quic hp" key: 16 octets for AES-128, 32 for AES-256 and ChaCha20. */
export function createHeaderProtection(suite: CipherSuite, key: Uint8Array): HeaderProtection {
  if (suite !== CipherSuite.TLS_CHACHA20_POLY1305_SHA256) {
    const bits = 8 * suiteParts(suite).keyOctets;
    // ECB has no state between blocks, so one cipher object serves every packet (RFC 9001 §5.4.3).
    const cipher = createCipheriv(`aes-${bits}-ecb`, key, null).setAutoPadding(false);
    return { mask: (data, at) => cipher.update(data.subarray(at, at + SAMPLE_OCTETS)) };
  }
  // RFC 9001 §5.4.4: counter (4 octets, little-endian) and nonce, which is just how OpenSSL lays out this cipher's IV.
  return {
    mask: (data, at) =>
      createCipheriv('chacha20', key, data.subarray(at, at + SAMPLE_OCTETS)).update(FIVE_ZEROS),
  };
}
