/** Bounds of a `ReplayLog`. */
export interface ReplayLogLimits {
  readonly maxEntries: number;
  /** Octets of all entries together, as `append` is told them. */
  readonly maxOctets: number;
}

interface Entry<T> {
  readonly value: T;
  readonly octets: number;
}

/**
 * Messages of one direction of a call, numbered 0, 1, 2, …, kept until the other side has them. A stream delivers in order
 * and once, but it ends with its session: what was written and not acknowledged is written again in the next one. Both sides
 * count alike, so that no number is on the wire but in the acknowledgements.
 */
export class ReplayLog<T> {
  readonly #limits: ReplayLogLimits;
  /** Kept entries; those before `#head` are acknowledged and cut off in lots, so that an acknowledgement costs O(1). */
  #entries: (Entry<T> | undefined)[] = [];
  #head = 0;
  #first: number;
  #octets = 0;

  /** `first` is the number that the first message gets. */
  constructor(limits: ReplayLogLimits, first = 0) {
    this.#limits = limits;
    this.#first = first;
  }

  /** Number of the oldest message that is kept; equals `next` when none is. */
  get first(): number {
    return this.#first;
  }

  /** Number that the next message will get. */
  get next(): number {
    return this.#first + this.size;
  }

  /** Messages kept. */
  get size(): number {
    return this.#entries.length - this.#head;
  }

  /** Octets of the messages kept. */
  get octets(): number {
    return this.#octets;
  }

  /** Keeps a message and gives its number; undefined, and nothing is kept, when a bound would be passed. */
  append(value: T, octets: number): number | undefined {
    const { maxEntries, maxOctets } = this.#limits;
    if (this.size >= maxEntries || this.#octets + octets > maxOctets) return undefined;
    this.#entries.push({ value, octets });
    this.#octets += octets;
    return this.next - 1;
  }

  /**
   * The other side has every message below `count`. False when it claims messages that were never sent; an old
   * acknowledgement changes nothing.
   */
  acknowledge(count: number): boolean {
    if (!Number.isSafeInteger(count) || count > this.next) return false;
    for (; this.#first < count; this.#first++) {
      const entry = this.#entries[this.#head];
      this.#entries[this.#head] = undefined;
      this.#head += 1;
      this.#octets -= entry?.octets ?? 0;
    }
    if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** Whether every message from `count` on is still kept, so that the other side can go on there. */
  reaches(count: number): boolean {
    return Number.isSafeInteger(count) && count >= this.#first && count <= this.next;
  }

  /** The kept messages from number `count` on, in order, with their numbers. */
  *from(count: number): Generator<readonly [number: number, value: T]> {
    for (let number = Math.max(count, this.#first); number < this.next; number++) {
      const entry = this.#entries[this.#head + number - this.#first];
      if (entry !== undefined) yield [number, entry.value];
    }
  }
}
