import { type CipherGCM, createCipheriv, createDecipheriv } from 'node:crypto';
import type { SuiteParts } from '../../tls/index.ts';

/** Octets that an AEAD adds to a payload; the same for all ciphers (RFC 9001 §5.3). */
export const TAG_OCTETS = 16;
/** Octets of a nonce (RFC 9001 §5.3). */
export const NONCE_OCTETS = 12;
/** Octets of ciphertext that a header protection mask is made from (RFC 9001 §5.4.2). */
export const SAMPLE_OCTETS = 16;

export type AeadName = SuiteParts['aead'];

/** An AEAD under one key. Nonces are 12 octets, tags 16. */
export interface Aead {
  /** Encrypts `buffer[textStart, textEnd)` in place and puts the tag after it; `buffer[start, textStart)` is authenticated too. */
  seal(nonce: Uint8Array, buffer: Uint8Array, start: number, textStart: number, textEnd: number): void;
  /**
   * The plaintext of `data[textStart, tagStart)` when the tag behind it is authentic for it and for `header`; `undefined` when it
   * is not. `data` stays as it is. The plaintext may lie in memory that the next call uses again, whatever key it is of.
   */
  open(
    nonce: Uint8Array,
    header: Uint8Array,
    data: Uint8Array,
    textStart: number,
    tagStart: number,
  ): Uint8Array | undefined;
  /** The key is not used again: whatever holds it outside of JavaScript is wiped and let go. May be called twice. */
  dispose(): void;
}

/** Makes header protection masks (RFC 9001 §5.4). */
export interface HeaderProtection {
  /** At least 5 octets of mask for the sample of 16 octets at `sampleAt`. They live until the next call. */
  mask(data: Uint8Array, sampleAt: number): Uint8Array;
  /** As that of `Aead`. */
  dispose(): void;
}

/** The ciphers of packet protection: `node:crypto`'s, or faster ones that the owner of an endpoint brings. */
export interface PacketCiphers {
  /** For people: what does the work. */
  readonly name: string;
  /** `key` is copied. */
  aead(name: AeadName, key: Uint8Array): Aead;
  /** `aes`: AES in ECB mode with as many bits as `key` has (RFC 9001 §5.4.3); else ChaCha20 (§5.4.4). */
  headerProtection(aes: boolean, key: Uint8Array): HeaderProtection;
}

const FIVE_ZEROS = new Uint8Array(5);
const TAG_LENGTH = { authTagLength: TAG_OCTETS };
const nothing = (): void => {};

class NodeAead implements Aead {
  readonly #name: AeadName;
  readonly #key: Uint8Array;

  constructor(name: AeadName, key: Uint8Array) {
    this.#name = name;
    this.#key = key.slice();
  }

  seal(nonce: Uint8Array, buffer: Uint8Array, start: number, textStart: number, textEnd: number): void {
    const cipher = this.#cipher(nonce);
    cipher.setAAD(buffer.subarray(start, textStart));
    buffer.set(cipher.update(buffer.subarray(textStart, textEnd)), textStart);
    cipher.final();
    buffer.set(cipher.getAuthTag(), textEnd);
  }

  #cipher(nonce: Uint8Array): CipherGCM {
    const name = this.#name;
    return name === 'chacha20-poly1305'
      ? createCipheriv(name, this.#key, nonce, TAG_LENGTH)
      : createCipheriv(name, this.#key, nonce);
  }

  open(
    nonce: Uint8Array,
    header: Uint8Array,
    data: Uint8Array,
    textStart: number,
    tagStart: number,
  ): Uint8Array | undefined {
    const name = this.#name;
    const decipher =
      name === 'chacha20-poly1305'
        ? createDecipheriv(name, this.#key, nonce, TAG_LENGTH)
        : createDecipheriv(name, this.#key, nonce, TAG_LENGTH);
    decipher.setAuthTag(data.subarray(tagStart, tagStart + TAG_OCTETS));
    decipher.setAAD(header);
    const text = decipher.update(data.subarray(textStart, tagStart));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    // Not a Buffer: its `slice` would be a view where callers mean a copy.
    return new Uint8Array(text.buffer, text.byteOffset, text.byteLength);
  }

  dispose(): void {
    this.#key.fill(0);
  }
}

/** Packet protection by `node:crypto`: a cipher object for each packet. */
export const NODE_CIPHERS: PacketCiphers = {
  name: 'node:crypto',
  aead: (name, key) => new NodeAead(name, key),
  headerProtection(aes, key) {
    if (aes) {
      // ECB has no state between blocks, so one cipher object serves every packet (RFC 9001 §5.4.3).
      const cipher = createCipheriv(`aes-${8 * key.length}-ecb`, key, null).setAutoPadding(false);
      return { mask: (data, at) => cipher.update(data.subarray(at, at + SAMPLE_OCTETS)), dispose: nothing };
    }
    const copy = key.slice();
    return {
      // RFC 9001 §5.4.4: counter (4 octets, little-endian) and nonce, which is just how OpenSSL lays out this cipher's IV.
      mask: (data, at) =>
        createCipheriv('chacha20', copy, data.subarray(at, at + SAMPLE_OCTETS)).update(FIVE_ZEROS),
      dispose: () => copy.fill(0),
    };
  },
};
