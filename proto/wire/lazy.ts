const NO_ENTRIES = new Map<never, never>();
const NO_VALUES = new Set<never>();

/**
 * A `Map` that is made when the first entry comes, and gone with the last one. An empty one takes some 180 octets, and each connection and call has tens that most
 * never use.
 */
export class LazyMap<K, V> {
  #map: Map<K, V> | undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map?.get(key);
  }

  has(key: K): boolean {
    return this.#map?.has(key) === true;
  }

  set(key: K, value: V): void {
    this.#map ??= new Map();
    this.#map.set(key, value);
  }

  delete(key: K): boolean {
    if (this.#map?.delete(key) !== true) return false;
    if (this.#map.size === 0) this.#map = undefined;
    return true;
  }

  clear(): void {
    // Who goes through it at the moment is at its end, as with a `Map`.
    this.#map?.clear();
    this.#map = undefined;
  }

  keys(): IterableIterator<K> {
    return (this.#map ?? NO_ENTRIES).keys();
  }

  values(): IterableIterator<V> {
    return (this.#map ?? NO_ENTRIES).values();
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return (this.#map ?? NO_ENTRIES)[Symbol.iterator]();
  }
}

/** A `Set` that is made when the first value comes, and gone with the last one. */
export class LazySet<T> {
  #set: Set<T> | undefined;

  get size(): number {
    return this.#set === undefined ? 0 : this.#set.size;
  }

  has(value: T): boolean {
    return this.#set?.has(value) === true;
  }

  add(value: T): void {
    this.#set ??= new Set();
    this.#set.add(value);
  }

  delete(value: T): boolean {
    if (this.#set?.delete(value) !== true) return false;
    if (this.#set.size === 0) this.#set = undefined;
    return true;
  }

  clear(): void {
    this.#set?.clear();
    this.#set = undefined;
  }

  values(): IterableIterator<T> {
    return (this.#set ?? NO_VALUES).values();
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.values();
  }
}
