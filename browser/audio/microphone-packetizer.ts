import { toPcm16 } from './pcm.ts';

/** Samples in one chunk that leaves the worklet: 20 ms. */
export const CHUNK_SAMPLES = 480;

/** Samples that leave the worklet, and the first one's place among all that left it. */
export interface MicrophoneChunk {
  readonly samples: Int16Array<ArrayBuffer>;
  readonly firstSample: number;
}

/**
 * Turns float blocks into PCM16 chunks of 20 ms. A sample given while it is open leaves exactly once and in order;
 * one given while it is closed never does. Closing gives up the started chunk, so that no sample of a stretch stays.
 */
export class MicrophonePacketizer {
  readonly #emit: (chunk: MicrophoneChunk) => void;
  #chunk = new Int16Array(CHUNK_SAMPLES);
  #filled = 0;
  #emitted = 0;
  #open = false;

  constructor(emit: (chunk: MicrophoneChunk) => void) {
    this.#emit = emit;
  }

  /** Samples that have left so far, over all stretches. */
  get emittedSamples(): number {
    return this.#emitted;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  open(): void {
    this.#open = true;
  }

  /** Emits what is left of the stretch, and drops everything until `open()`. */
  close(): void {
    this.#flush();
    this.#open = false;
  }

  /** Gives the first `count` samples of `block`, at the voice rate. */
  push(block: Float32Array, count: number = block.length): void {
    if (!this.#open) return;
    for (let i = 0; i < count; i++) {
      this.#chunk[this.#filled++] = toPcm16(block[i] ?? 0);
      if (this.#filled === CHUNK_SAMPLES) this.#flush();
    }
  }

  #flush(): void {
    if (this.#filled === 0) return;
    const samples = this.#filled === CHUNK_SAMPLES ? this.#chunk : this.#chunk.slice(0, this.#filled);
    const firstSample = this.#emitted;
    this.#emitted += this.#filled;
    // The chunk is transferred to the page, so it cannot be used again.
    this.#chunk = new Int16Array(CHUNK_SAMPLES);
    this.#filled = 0;
    this.#emit({ samples, firstSample });
  }
}
