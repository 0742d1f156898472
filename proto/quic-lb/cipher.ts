import { type Cipher, createCipheriv, createDecipheriv } from 'node:crypto';
import { connectionIdLength, type QuicLbConfig } from './types.ts';

const BLOCK_OCTETS = 16;

/**
 * The cipher of one configuration with its scratch buffers: made once, used for every packet. The plaintext block
 * (server ID and nonce) is worked on in `block`, in place.
 */
export class CidCipher {
  readonly #config: QuicLbConfig;
  readonly #length: number;
  readonly #halfLength: number;
  readonly #odd: boolean;
  readonly #encrypt: Cipher | undefined;
  readonly #decrypt: Cipher | undefined;
  readonly #input = new Uint8Array(BLOCK_OCTETS);
  readonly #left = new Uint8Array(BLOCK_OCTETS);
  readonly #right = new Uint8Array(BLOCK_OCTETS);
  /** Server ID, then nonce; after `encryptBlock` their ciphertext. */
  readonly block: Uint8Array;

  /** `config` must be sound (`assertConfig`). */
  constructor(config: QuicLbConfig) {
    this.#config = config;
    this.#length = connectionIdLength(config) - 1;
    this.#halfLength = Math.ceil(this.#length / 2);
    this.#odd = this.#length % 2 === 1;
    this.block = new Uint8Array(this.#length);
    if (config.key === undefined) return;
    this.#encrypt = createCipheriv('aes-128-ecb', config.key, null).setAutoPadding(false);
    this.#decrypt = createDecipheriv('aes-128-ecb', config.key, null).setAutoPadding(false);
  }

  /** Encrypts `block` in place; does nothing for a configuration without a key. */
  encryptBlock(): void {
    if (this.#encrypt === undefined) return;
    if (this.#length === BLOCK_OCTETS) {
      this.block.set(this.#encrypt.update(this.block));
      return;
    }
    this.#split();
    this.#pass(1, this.#left, this.#right);
    this.#pass(2, this.#right, this.#left);
    this.#pass(3, this.#left, this.#right);
    this.#pass(4, this.#right, this.#left);
    this.#join();
  }

  /** Decrypts `block` in place, as far as the server ID reaches: the octets of the nonce may stay undefined. */
  decryptServerId(): void {
    if (this.#decrypt === undefined) return;
    if (this.#length === BLOCK_OCTETS) {
      this.block.set(this.#decrypt.update(this.block));
      return;
    }
    this.#split();
    this.#pass(4, this.#right, this.#left);
    this.#pass(3, this.#left, this.#right);
    this.#pass(2, this.#right, this.#left);
    // The draft lets the fourth pass go when the server ID lies within the left half.
    if (this.#config.serverIdLength > this.#config.nonceLength) this.#pass(1, this.#left, this.#right);
    this.#join();
  }

  #split(): void {
    const half = this.#halfLength;
    const { block } = this;
    for (let i = 0; i < half; i++) {
      this.#left[i] = block[i] as number;
      this.#right[i] = block[this.#length - half + i] as number;
    }
    this.#clear(this.#left);
    this.#clear(this.#right);
  }

  #join(): void {
    const half = this.#halfLength;
    const { block } = this;
    for (let i = 0; i < half; i++) block[i] = this.#left[i] as number;
    const from = this.#length - half;
    // An odd length shares its middle octet: the high bits are the left half's, the low ones the right half's.
    block[from] = this.#odd
      ? (block[from] as number) | (this.#right[0] as number)
      : (this.#right[0] as number);
    for (let i = 1; i < half; i++) block[from + i] = this.#right[i] as number;
  }

  /** Of an odd length, the left half keeps only the first four bits of its last octet, the right only the last of its first. */
  #clear(half: Uint8Array): void {
    if (!this.#odd) return;
    const at = half === this.#left ? this.#halfLength - 1 : 0;
    half[at] = (half[at] as number) & (half === this.#left ? 0xf0 : 0x0f);
  }

  /** One round of the Feistel network: `into` ^= AES(expand(length, number, from)). */
  #pass(number: number, from: Uint8Array, into: Uint8Array): void {
    const half = this.#halfLength;
    const input = this.#input;
    input.fill(0);
    for (let i = 0; i < half; i++) input[i] = from[i] as number;
    input[BLOCK_OCTETS - 2] = this.#length;
    input[BLOCK_OCTETS - 1] = number;
    const mask = (this.#encrypt as Cipher).update(input);
    for (let i = 0; i < half; i++) into[i] = (into[i] as number) ^ (mask[i] as number);
    this.#clear(into);
  }
}
