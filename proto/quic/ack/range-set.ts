/**
 * Sorted, disjoint, half-open ranges [start, end) of integers: packet numbers or stream offsets. Adding at the top and
 * removing at the bottom, which is what happens nearly always, is O(1); elsewhere it is a binary search and a splice.
 */
export class RangeSet {
  /** start, end, start, end, ... ascending; no two ranges touch. */
  #edges: number[] = [];

  /** How many ranges there are. */
  get length(): number {
    return this.#edges.length / 2;
  }

  get isEmpty(): boolean {
    return this.#edges.length === 0;
  }

  /** First value of range `index`, counted from the lowest. */
  startAt(index: number): number {
    return this.#edges[index * 2]!;
  }

  /** One past the last value of range `index`. */
  endAt(index: number): number {
    return this.#edges[index * 2 + 1]!;
  }

  /** One past the largest value, 0 when empty. */
  get end(): number {
    return this.isEmpty ? 0 : this.#edges[this.#edges.length - 1]!;
  }

  contains(value: number): boolean {
    const at = this.#firstEndingAfter(value);
    return at < this.#edges.length && this.#edges[at]! <= value;
  }

  /** The smallest value from `from` on that is in no range. */
  firstMissing(from: number): number {
    const at = this.#firstEndingAfter(from);
    return at < this.#edges.length && this.#edges[at]! <= from ? this.#edges[at + 1]! : from;
  }

  /** Adds [start, end); does nothing when it is empty. Returns whether any value was new. */
  add(start: number, end: number): boolean {
    if (start >= end) return false;
    const edges = this.#edges;
    const size = edges.length;
    if (size === 0) {
      // Most sets never hold more than one range, and a first `push` would make room for eight.
      this.#edges = [start, end];
      return true;
    }
    if (start > edges[size - 1]!) {
      edges.push(start, end);
      return true;
    }
    if (start === edges[size - 1]) {
      edges[size - 1] = end;
      return true;
    }
    // The first range that touches or lies above [start, end).
    const from = this.#firstEndingAfter(start - 1);
    if (edges[from]! <= start && edges[from + 1]! >= end) return false;
    let to = from;
    let low = start;
    let high = end;
    while (to < size && edges[to]! <= end) {
      low = Math.min(low, edges[to]!);
      high = Math.max(high, edges[to + 1]!);
      to += 2;
    }
    if (to === from + 2) {
      edges[from] = low;
      edges[from + 1] = high;
    } else {
      edges.splice(from, to - from, low, high);
    }
    return true;
  }

  /** Removes [start, end). */
  remove(start: number, end: number): void {
    const edges = this.#edges;
    const from = this.#firstEndingAfter(start);
    if (start >= end || from >= edges.length || edges[from]! >= end) return;
    const head = edges[from]!;
    if (head < start && edges[from + 1]! > end) {
      edges.splice(from + 1, 0, start, end);
      return;
    }
    let first = from;
    if (head < start) {
      edges[from + 1] = start;
      first += 2;
    }
    let last = first;
    while (last < edges.length && edges[last + 1]! <= end) last += 2;
    if (last < edges.length && edges[last]! < end) edges[last] = end;
    if (last > first) edges.splice(first, last - first);
  }

  /** Removes the lowest range. */
  dropLowest(): void {
    this.#edges.splice(0, 2);
  }

  clear(): void {
    this.#edges.length = 0;
  }

  /** Adds to `target` what [start, end) has and this set has not. */
  addMissingTo(target: RangeSet, start: number, end: number): void {
    const edges = this.#edges;
    let from = start;
    for (let at = this.#firstEndingAfter(start); at < edges.length && edges[at]! < end; at += 2) {
      target.add(from, edges[at]!);
      from = Math.max(from, edges[at + 1]!);
    }
    target.add(from, end);
  }

  /** Index in `#edges` of the first range whose end is above `value`, or the length. */
  #firstEndingAfter(value: number): number {
    const edges = this.#edges;
    let low = 0;
    let high = edges.length / 2;
    // The bottom range first: it is the one asked for when things go in order.
    if (high > 0 && edges[1]! > value) return 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (edges[middle * 2 + 1]! > value) high = middle;
      else low = middle + 1;
    }
    return low * 2;
  }
}
