import type { RandomSource } from '../../types.ts';

/** Octets drawn at a time: one call for 256 packets. */
const POOL_OCTETS = 32;

/** Random bits out of a random source, one at a time. */
export class RandomBits {
  readonly #random: RandomSource;
  #pool: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  next(): boolean {
    if (this.#at >= this.#pool.length * 8) {
      this.#pool = this.#random(POOL_OCTETS);
      this.#at = 0;
    }
    const bit = (this.#pool[this.#at >> 3]! >> (this.#at & 7)) & 1;
    this.#at += 1;
    return bit === 1;
  }
}
