/**
 * The nonces of a configuration with a key: each is used once (draft §9.6). They count up
 * from a start that should be random: so an observer cannot guess them, and a backend that starts again does not meet those
 * it used before, but for one chance in 2^(8 × nonceLength) for each CID of a life. That is good with the usual 8 octets and
 * thin with the least of 4.
 */
export class NonceCounter {
  readonly #first: Uint8Array;
  readonly #next: Uint8Array;
  #exhausted = false;

  /** Counts from `next` until it would come to `first` again. */
  constructor(first: Uint8Array, next: Uint8Array = first) {
    this.#first = first.slice();
    this.#next = next.slice();
  }

  get length(): number {
    return this.#first.length;
  }

  /** The nonce to use now; changes with `advance`. */
  get current(): Uint8Array {
    return this.#next;
  }

  /** Whether all were used. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /** How much of them was used, 0 to 1. */
  get usedShare(): number {
    if (this.#exhausted) return 1;
    let share = 0;
    for (let i = this.length - 1; i >= 0; i--)
      share = (share + (this.#next[i] as number) - (this.#first[i] as number)) / 256;
    return share < 0 ? share + 1 : share;
  }

  advance(): void {
    for (let i = this.length - 1; i >= 0; i--) {
      const value = ((this.#next[i] as number) + 1) & 0xff;
      this.#next[i] = value;
      if (value !== 0) break;
    }
    this.#exhausted = this.#next.every((octet, i) => octet === this.#first[i]);
  }
}
