import { OCTETS_PER_SAMPLE } from '../pcm.ts';

interface Chunk {
  /** Sample at which it begins. */
  readonly at: number;
  readonly octets: Uint8Array;
}

const EMPTY = new Uint8Array(0);
/** Released chunks that may lie at the front before the list is moved up: few moves, little held. */
const MAX_RELEASED_CHUNKS = 64;

/** Audio of one stream, counted in samples, kept from a sample on that rises as it is acknowledged. */
export class AudioLog {
  #chunks: (Chunk | undefined)[] = [];
  #head = 0;
  #first: number;
  #end: number;

  /** `first` is the number of the first sample to come. */
  constructor(first = 0) {
    this.#first = first;
    this.#end = first;
  }

  /** The oldest sample kept; equals `end` when none is. */
  get first(): number {
    return this.#first;
  }

  /** The sample behind the last one. */
  get end(): number {
    return this.#end;
  }

  /** Takes whole samples, as octets that it may keep. */
  push(octets: Uint8Array): void {
    if (octets.length === 0) return;
    this.#chunks.push({ at: this.#end, octets });
    this.#end += octets.length / OCTETS_PER_SAMPLE;
  }

  /** Lets go of what is before `sample`. */
  release(sample: number): void {
    if (sample <= this.#first) return;
    this.#first = Math.min(sample, this.#end);
    while (this.#head < this.#chunks.length && endOf(this.#chunks[this.#head]) <= this.#first) {
      this.#chunks[this.#head] = undefined;
      this.#head += 1;
    }
    if (this.#head <= MAX_RELEASED_CHUNKS || this.#head * 2 <= this.#chunks.length) return;
    this.#chunks = this.#chunks.slice(this.#head);
    this.#head = 0;
  }

  /** At most `maxOctets` from `sample` on: a view, not to be changed; empty at the end. Behind `first` only. */
  read(sample: number, maxOctets: number): Uint8Array {
    const chunk = sample < this.#first ? undefined : this.#chunks[this.#indexOf(sample)];
    if (chunk === undefined) return EMPTY;
    const start = (sample - chunk.at) * OCTETS_PER_SAMPLE;
    return chunk.octets.subarray(start, Math.min(chunk.octets.length, start + maxOctets));
  }

  /** Index of the chunk that holds `sample`, found by halving, as a backlog has thousands. */
  #indexOf(sample: number): number {
    let low = this.#head;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(this.#chunks[middle]) > sample) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function endOf(chunk: Chunk | undefined): number {
  return chunk === undefined ? 0 : chunk.at + chunk.octets.length / OCTETS_PER_SAMPLE;
}
