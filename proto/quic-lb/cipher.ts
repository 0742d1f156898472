import { type Cipher, createCipheriv, createDecipheriv } from 'node:crypto';
import { connectionIdLength, type QuicLbConfig } from './types.ts';

const BLOCK_OCTETS = 16;

/**
 * The cipher of one configuration (draft §5.4) with its scratch buffers: made once, used for every packet. Plaintext blocks (server
 * ID and nonce) are worked on in `blocks`, in place, many at once: a call of the cipher costs far more than the AES in it.
 */
export class CidCipher {
  readonly #config: QuicLbConfig;
  readonly #length: number;
  readonly #halfLength: number;
  readonly #odd: boolean;
  readonly #encrypt: Cipher | undefined;
  readonly #decrypt: Cipher | undefined;
  /** The halves of four passes, each in a row of 16 octets that is the AES input of the next pass as it stands. */
  readonly #left: Uint8Array;
  readonly #right: Uint8Array;
  /** Server ID, then nonce, of one CID after the other; after `encrypt` their ciphertext. */
  readonly blocks: Uint8Array;

  /** `config` must be sound (`assertConfig`); `capacity` is how many CIDs are worked on at once. */
  constructor(config: QuicLbConfig, capacity = 1) {
    this.#config = config;
    this.#length = connectionIdLength(config) - 1;
    this.#halfLength = Math.ceil(this.#length / 2);
    this.#odd = this.#length % 2 === 1;
    this.blocks = new Uint8Array(capacity * this.#length);
    const isFourPass = config.key !== undefined && this.#length !== BLOCK_OCTETS;
    this.#left = new Uint8Array(isFourPass ? capacity * BLOCK_OCTETS : 0);
    this.#right = new Uint8Array(this.#left.length);
    if (config.key === undefined) return;
    this.#encrypt = createCipheriv('aes-128-ecb', config.key, null).setAutoPadding(false);
    this.#decrypt = createDecipheriv('aes-128-ecb', config.key, null).setAutoPadding(false);
  }

  /** Encrypts the first `count` blocks in place; does nothing for a configuration without a key. */
  encrypt(count = 1): void {
    if (this.#encrypt === undefined) return;
    if (this.#length === BLOCK_OCTETS) {
      this.blocks.set(this.#encrypt.update(this.blocks.subarray(0, count * BLOCK_OCTETS)));
      return;
    }
    this.#split(count);
    this.#pass(1, this.#left, this.#right, count);
    this.#pass(2, this.#right, this.#left, count);
    this.#pass(3, this.#left, this.#right, count);
    this.#pass(4, this.#right, this.#left, count);
    this.#join(count);
  }

  /** Decrypts the first `count` blocks in place, as far as the server ID reaches: octets of the nonce may stay undefined. */
  decryptServerIds(count = 1): void {
    if (this.#decrypt === undefined) return;
    if (this.#length === BLOCK_OCTETS) {
      this.blocks.set(this.#decrypt.update(this.blocks.subarray(0, count * BLOCK_OCTETS)));
      return;
    }
    this.#split(count);
    this.#pass(4, this.#right, this.#left, count);
    this.#pass(3, this.#left, this.#right, count);
    this.#pass(2, this.#right, this.#left, count);
    // The draft (§5.5.2) lets the fourth pass go when the server ID lies within the left half.
    if (this.#config.serverIdLength > this.#config.nonceLength) this.#pass(1, this.#left, this.#right, count);
    this.#join(count);
  }

  #split(count: number): void {
    const half = this.#halfLength;
    const skip = this.#length - half;
    for (let row = 0; row < count; row++) {
      const block = row * this.#length;
      const at = row * BLOCK_OCTETS;
      for (let i = 0; i < half; i++) {
        this.#left[at + i] = this.blocks[block + i] as number;
        this.#right[at + i] = this.blocks[block + skip + i] as number;
      }
      this.#clear(this.#left, at);
      this.#clear(this.#right, at);
    }
  }

  #join(count: number): void {
    const half = this.#halfLength;
    const { blocks } = this;
    for (let row = 0; row < count; row++) {
      const block = row * this.#length;
      const at = row * BLOCK_OCTETS;
      for (let i = 0; i < half; i++) blocks[block + i] = this.#left[at + i] as number;
      const from = block + this.#length - half;
      // An odd length shares its middle octet: the high bits are the left half's, the low ones the right half's.
      const shared = this.#odd ? (blocks[from] as number) : 0;
      blocks[from] = shared | (this.#right[at] as number);
      for (let i = 1; i < half; i++) blocks[from + i] = this.#right[at + i] as number;
    }
  }

  /** Of an odd length, the left half keeps only the first four bits of its last octet, the right only the last of its first. */
  #clear(halves: Uint8Array, row: number): void {
    if (!this.#odd) return;
    const isLeft = halves === this.#left;
    const at = isLeft ? row + this.#halfLength - 1 : row;
    halves[at] = (halves[at] as number) & (isLeft ? 0xf0 : 0x0f);
  }

  /** One round of the Feistel network: `into` ^= AES(expand(length, number, from)). */
  #pass(number: number, from: Uint8Array, into: Uint8Array, count: number): void {
    const end = count * BLOCK_OCTETS;
    for (let at = BLOCK_OCTETS - 2; at < end; at += BLOCK_OCTETS) {
      from[at] = this.#length;
      from[at + 1] = number;
    }
    const mask = (this.#encrypt as Cipher).update(from.subarray(0, end));
    for (let at = 0; at < end; at += BLOCK_OCTETS) {
      for (let i = 0; i < this.#halfLength; i++) {
        into[at + i] = (into[at + i] as number) ^ (mask[at + i] as number);
      }
      this.#clear(into, at);
    }
  }
}
