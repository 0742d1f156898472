interface Entry {
  readonly at: number;
  readonly order: number;
  readonly action: () => void;
}

/** What happens later on the virtual clock: a binary heap by time, then by the order in which it was asked for. */
export class Schedule {
  readonly #heap: Entry[] = [];
  #order = 0;

  get nextAt(): number | undefined {
    return this.#heap[0]?.at;
  }

  at(time: number, action: () => void): void {
    const heap = this.#heap;
    const entry = { at: time, order: this.#order++, action };
    let slot = heap.length;
    heap.push(entry);
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[slot] = heap[parent]!;
      slot = parent;
    }
    heap[slot] = entry;
  }

  /** Takes the first entry when it is due at `now`. */
  take(now: number): (() => void) | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) this.#sink(last);
    return first.action;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let slot = 0;
    for (;;) {
      let child = slot * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, entry)) break;
      heap[slot] = heap[child]!;
      slot = child;
    }
    heap[slot] = entry;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
