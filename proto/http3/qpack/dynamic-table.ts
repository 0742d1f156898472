import { Queue } from '../../wire/index.ts';
import type { Field } from '../fields.ts';

/** Octets that an entry counts for beside its name and value (RFC 9204 §3.2.1). */
const ENTRY_OVERHEAD_OCTETS = 32;

export function fieldSizeOctets(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD_OCTETS;
}

/** The decoder's copy of the dynamic table (RFC 9204 §3.2). Entries are named by absolute index. */
export class DynamicTable {
  /** Upper bound of the capacity, which is our SETTINGS_QPACK_MAX_TABLE_CAPACITY. */
  readonly maxCapacity: number;
  /** Octets the table may hold now. */
  capacity = 0;
  sizeOctets = 0;
  /** Entries inserted so far, evicted ones included. */
  insertCount = 0;
  readonly #entries = new Queue<Field>();

  constructor(maxCapacity: number) {
    this.maxCapacity = maxCapacity;
  }

  /** MaxEntries of RFC 9204 §4.5.1.1. */
  get maxEntries(): number {
    return Math.floor(this.maxCapacity / ENTRY_OVERHEAD_OCTETS);
  }

  /** False when it is above what we allow. */
  setCapacity(capacity: number): boolean {
    if (capacity > this.maxCapacity) return false;
    this.capacity = capacity;
    this.#evict(0);
    return true;
  }

  /** False when the entry does not fit an empty table (RFC 9204 §3.2.2). */
  insert(name: string, value: string): boolean {
    const size = fieldSizeOctets(name, value);
    if (size > this.capacity) return false;
    this.#evict(size);
    this.#entries.push([name, value]);
    this.sizeOctets += size;
    this.insertCount++;
    return true;
  }

  at(absoluteIndex: number): Field | undefined {
    const index = absoluteIndex - (this.insertCount - this.#entries.length);
    return index < 0 ? undefined : this.#entries.at(index);
  }

  #evict(incomingOctets: number): void {
    while (this.sizeOctets + incomingOctets > this.capacity) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      this.sizeOctets -= fieldSizeOctets(oldest[0], oldest[1]);
    }
  }
}
