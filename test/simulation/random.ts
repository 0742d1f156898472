/** A seeded source of everything that is random in a run: sfc32, quick and good enough to be believed by statistics. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** Equal seeds and labels give equal sequences; another label gives one that has nothing to do with it. */
  constructor(seed: number, label = '') {
    let hash = 0x811c_9dc5;
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x0100_0193);
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = hash | 0;
    for (let i = 0; i < 15; i++) this.#next();
  }

  #next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t;
    this.#c |= 0;
    return t >>> 0;
  }

  /** In [0, 1). */
  number(): number {
    return this.#next() / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.number() * (high - low + 1));
  }

  /** A number from `low` to below `high`. */
  between(low: number, high: number): number {
    return low + this.number() * (high - low);
  }

  chance(probability: number): boolean {
    return probability > 0 && this.number() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.number() * items.length)] as T;
  }

  /** Fits `RandomSource` of the engine. */
  readonly octets = (length: number): Uint8Array => {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; at += 4) {
      const word = this.#next();
      out[at] = word;
      if (at + 1 < length) out[at + 1] = word >>> 8;
      if (at + 2 < length) out[at + 2] = word >>> 16;
      if (at + 3 < length) out[at + 3] = word >>> 24;
    }
    return out;
  };
}
