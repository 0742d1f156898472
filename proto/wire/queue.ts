/** Slots at first; a power of two, as every number of them is. */
const FIRST_SLOTS = 2;
/** A queue that was longer than this once lets its memory go when it is empty. */
const KEPT_SLOTS = 64;

/**
 * First in, first out; `push` and `shift` cost O(1) amortised, however long it is. (`Array.shift` moves every element that is
 * left once an array is large, so a queue that a peer fills costs the square of its length.) It is a ring: a queue that fills and
 * empties with every packet allocates nothing, where an array that is cut to no length would be made anew. It bounds nothing: its owner does.
 */
export class Queue<T> {
  #slots: (T | undefined)[] = [];
  #head = 0;
  #length = 0;

  /** Items that wait. */
  get length(): number {
    return this.#length;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  /** The oldest item, not taken. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#head];
  }

  /** The item `index` places behind the oldest. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)];
  }

  /** Takes the oldest item. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const slots = this.#slots;
    const item = slots[this.#head];
    slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (slots.length - 1);
    this.#length -= 1;
    if (this.#length === 0 && slots.length > KEPT_SLOTS) this.clear();
    return item;
  }

  /** Removes one item wherever it is; O(n). */
  remove(item: T): void {
    for (let index = 0; index < this.#length; index++) {
      if (this.at(index) !== item) continue;
      for (let after = index + 1; after < this.#length; after++) this.#set(after - 1, this.at(after));
      this.#set(this.#length - 1, undefined);
      this.#length -= 1;
      return;
    }
  }

  clear(): void {
    if (this.#slots.length > KEPT_SLOTS) this.#slots = [];
    else this.#slots.fill(undefined);
    this.#head = 0;
    this.#length = 0;
  }

  forEach(visit: (item: T) => void): void {
    for (let index = 0; index < this.#length; index++) visit(this.at(index) as T);
  }

  #set(index: number, item: T | undefined): void {
    this.#slots[(this.#head + index) & (this.#slots.length - 1)] = item;
  }

  #grow(): void {
    const grown = new Array<T | undefined>(Math.max(FIRST_SLOTS, 2 * this.#slots.length)).fill(undefined);
    for (let index = 0; index < this.#length; index++) grown[index] = this.at(index);
    this.#slots = grown;
    this.#head = 0;
  }
}
