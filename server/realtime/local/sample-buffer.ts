import { OCTETS_PER_SAMPLE } from '../../../proto/voice/index.ts';

/** PCM16 octets addressed by their sample number since the start of the session; what is not needed is dropped at the front. */
export class SampleBuffer {
  #data = new Uint8Array(1 << 14);
  #length = 0;
  #firstSample = 0;

  /** The first sample still held. */
  get firstSample(): number {
    return this.#firstSample;
  }

  /** The sample after the last one held. */
  get endSample(): number {
    return this.#firstSample + this.#length / OCTETS_PER_SAMPLE;
  }

  /** Adds whole samples. */
  append(octets: Uint8Array): void {
    if (this.#length + octets.length > this.#data.length) {
      const grown = new Uint8Array(Math.max(this.#length + octets.length, this.#data.length * 2));
      grown.set(this.#data.subarray(0, this.#length));
      this.#data = grown;
    }
    this.#data.set(octets, this.#length);
    this.#length += octets.length;
  }

  /** A copy of the samples from `from` up to `to`, as far as they are held. */
  copy(from: number, to: number): Uint8Array {
    const start = Math.max(0, from - this.#firstSample) * OCTETS_PER_SAMPLE;
    const end = Math.min(this.#length, (to - this.#firstSample) * OCTETS_PER_SAMPLE);
    return this.#data.slice(start, Math.max(start, end));
  }

  /** Forgets everything before `sample`. */
  dropBefore(sample: number): void {
    const octets = Math.min(this.#length, Math.max(0, sample - this.#firstSample) * OCTETS_PER_SAMPLE);
    if (octets === 0) return;
    this.#data.copyWithin(0, octets, this.#length);
    this.#length -= octets;
    this.#firstSample += octets / OCTETS_PER_SAMPLE;
  }
}
