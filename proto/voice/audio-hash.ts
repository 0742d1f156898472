const FNV_PRIME_LOW = 0x1b3;
const TWO_32 = 0x1_0000_0000;

/**
 * FNV-1a, 64 bits, over a run of octets: the same figure in the page, the backend and the tests says that no octet was
 * lost, doubled or moved. Not for secrets. Kept in two 32-bit halves, as BigInt is slow on an audio path.
 */
export class AudioHash {
  #high = 0xcbf2_9ce4;
  #low = 0x8422_2325;
  #octets = 0;

  /** Octets hashed so far. */
  get octets(): number {
    return this.#octets;
  }

  update(data: Uint8Array): this {
    let high = this.#high;
    let low = this.#low;
    for (let i = 0; i < data.length; i++) {
      low = (low ^ data[i]!) >>> 0;
      // The prime is 2^40 + 0x1b3: the upper half takes 0x1b3 times itself, the carry, and the lower half shifted by 8.
      const product = low * FNV_PRIME_LOW;
      high = (high * FNV_PRIME_LOW + Math.floor(product / TWO_32) + ((low << 8) >>> 0)) >>> 0;
      low = product >>> 0;
    }
    this.#high = high;
    this.#low = low;
    this.#octets += data.length;
    return this;
  }

  /** The hash so far, as 16 hex digits; more may be added after. */
  digest(): string {
    return this.#high.toString(16).padStart(8, '0') + this.#low.toString(16).padStart(8, '0');
  }
}
