/** Length of the ramp to silence: 64 samples, 2.7 ms at 24 kHz. */
const RAMP_SAMPLES = 64;

/**
 * Lets the output glide to silence where playback stops in the middle of a wave, for a jump is heard as a click.
 * The ramp is made of the last sample alone: nothing of the answer is in it, so nothing of it is counted as played.
 */
export class Declicker {
  #last = 0;
  #step = 0;

  /** Fills `out` from `from` to its end: first what is left of the ramp, then silence. Called after each block. */
  fill(out: Float32Array, from: number): void {
    if (from > 0) {
      this.#last = out[from - 1] ?? 0;
      this.#step = this.#last / RAMP_SAMPLES;
    }
    for (let i = from; i < out.length; i++) {
      this.#last = Math.abs(this.#last) <= Math.abs(this.#step) ? 0 : this.#last - this.#step;
      out[i] = this.#last;
    }
  }
}
