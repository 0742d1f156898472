/** A thing with a deadline, which the heap finds again by the slot it keeps there. */
export interface Scheduled {
  /** Milliseconds; meaningful while `heapSlot` is not -1. */
  scheduledAt: number;
  /** Index in the heap, -1 when not in it. Only the heap writes it. */
  heapSlot: number;
}

/** A binary heap of deadlines: setting or dropping one costs O(log n), the earliest is at hand. */
export class DeadlineHeap<T extends Scheduled> {
  readonly #items: T[] = [];

  get earliest(): T | undefined {
    return this.#items[0];
  }

  get size(): number {
    return this.#items.length;
  }

  /** Puts the item at a new time, or takes it out when there is none. */
  schedule(item: T, at: number | undefined): void {
    if (at === undefined) {
      this.remove(item);
      return;
    }
    if (item.heapSlot < 0) {
      item.scheduledAt = at;
      item.heapSlot = this.#items.length;
      this.#items.push(item);
      this.#up(item.heapSlot);
      return;
    }
    const before = item.scheduledAt;
    if (before === at) return;
    item.scheduledAt = at;
    if (at < before) this.#up(item.heapSlot);
    else this.#down(item.heapSlot);
  }

  remove(item: T): void {
    const slot = item.heapSlot;
    if (slot < 0) return;
    item.heapSlot = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#place(last, slot);
    this.#up(slot);
    this.#down(last.heapSlot);
  }

  #place(item: T, slot: number): void {
    this.#items[slot] = item;
    item.heapSlot = slot;
  }

  #up(from: number): void {
    let slot = from;
    const item = this.#items[slot]!;
    while (slot > 0) {
      const parentSlot = (slot - 1) >> 1;
      const parent = this.#items[parentSlot]!;
      if (parent.scheduledAt <= item.scheduledAt) break;
      this.#place(parent, slot);
      slot = parentSlot;
    }
    this.#place(item, slot);
  }

  #down(from: number): void {
    let slot = from;
    const item = this.#items[slot]!;
    const size = this.#items.length;
    for (;;) {
      let childSlot = slot * 2 + 1;
      if (childSlot >= size) break;
      const right = this.#items[childSlot + 1];
      if (right !== undefined && right.scheduledAt < this.#items[childSlot]!.scheduledAt) childSlot += 1;
      const child = this.#items[childSlot]!;
      if (child.scheduledAt >= item.scheduledAt) break;
      this.#place(child, slot);
      slot = childSlot;
    }
    this.#place(item, slot);
  }
}
