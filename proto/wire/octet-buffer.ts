const INITIAL_OCTETS = 256;
const EMPTY = new Uint8Array(0);

/**
 * Octets gathered from pieces of any size into one buffer that grows by doubling: what it costs follows from their number, and not
 * from how they were cut. It never holds more than its bound.
 */
export class OctetBuffer {
  readonly #maxOctets: number;
  #data: Uint8Array = EMPTY;
  #length = 0;

  constructor(maxOctets: number) {
    this.#maxOctets = maxOctets;
  }

  /** Octets held. */
  get length(): number {
    return this.#length;
  }

  /** Octets of memory behind them. */
  get capacity(): number {
    return this.#data.length;
  }

  /** Copies octets in; false, and nothing changes, when they would exceed the bound. */
  append(octets: Uint8Array): boolean {
    const length = this.#length + octets.length;
    if (length > this.#maxOctets) return false;
    if (length > this.#data.length) {
      const room = Math.max(length, this.#data.length * 2, INITIAL_OCTETS);
      const grown = new Uint8Array(Math.min(room, this.#maxOctets));
      grown.set(this.#data.subarray(0, this.#length));
      this.#data = grown;
    }
    this.#data.set(octets, this.#length);
    this.#length = length;
    return true;
  }

  /** Takes all octets, as one array; the buffer is empty after. */
  take(): Uint8Array {
    const taken = this.#data.subarray(0, this.#length);
    this.#data = EMPTY;
    this.#length = 0;
    return taken;
  }
}
