/** Datagrams (RFC 9221) that wait to be sent or polled, bounded in octets and in number. */

/** Datagrams in one queue, whatever their size: an empty one costs memory as well. */
export const MAX_QUEUED_DATAGRAMS = 1024;

export class DatagramQueue {
  readonly #maxOctets: number;
  #items: Uint8Array[] = [];
  #head = 0;
  #octets = 0;
  /** Datagrams that found no room or were pushed out. */
  dropped = 0;

  constructor(maxOctets: number) {
    this.#maxOctets = maxOctets;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get octets(): number {
    return this.#octets;
  }

  /** Adds one at the end; false when it does not fit. */
  push(data: Uint8Array): boolean {
    if (this.#octets + data.length > this.#maxOctets || this.length >= MAX_QUEUED_DATAGRAMS) {
      this.dropped += 1;
      return false;
    }
    this.#items.push(data);
    this.#octets += data.length;
    return true;
  }

  peek(): Uint8Array | undefined {
    return this.#items[this.#head];
  }

  shift(): Uint8Array | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    this.#octets -= item.length;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 64) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#octets = 0;
  }
}
