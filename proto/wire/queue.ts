/** Consumed slots that wait for one common removal. */
const COMPACT_SLOTS = 64;

/**
 * First in, first out; `push` and `shift` cost O(1) amortised, however long it is. (`Array.shift` moves every element that is
 * left once an array is large, so a queue that a peer fills costs the square of its length.) It bounds nothing: its owner does.
 */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** Items that wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The oldest item, not taken. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** The item `index` places behind the oldest. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index];
  }

  /** Takes the oldest item. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head >= COMPACT_SLOTS && this.#head * 2 >= this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Removes one item wherever it is; O(n). */
  remove(item: T): void {
    const at = this.#items.indexOf(item, this.#head);
    if (at >= 0) this.#items.splice(at, 1);
  }

  clear(): void {
    // A queue that was long once lets its memory go.
    if (this.#items.length > COMPACT_SLOTS) this.#items = [];
    else this.#items.length = 0;
    this.#head = 0;
  }

  forEach(visit: (item: T) => void): void {
    for (let at = this.#head; at < this.#items.length; at++) visit(this.#items[at] as T);
  }
}
