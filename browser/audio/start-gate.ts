/** Audio that must be there before an answer starts: one packet's worth (40 ms at 24 kHz), not heard as a delay. */
export const START_SAMPLES = 960;
/** The most that a slow network may make an answer wait: 480 ms. */
export const MAX_START_SAMPLES = 11_520;

/**
 * Decides when playback may start, or start again after it ran dry. Answers come faster than real time as a rule, and
 * then the gate opens with the first chunk. Each time playback really ran dry the wish doubles, up to `MAX_START_SAMPLES`;
 * each answer that played through halves it again.
 */
export class StartGate {
  #target = START_SAMPLES;
  #waited = 0;
  #open = false;

  /** Samples that are wished for before the next start. */
  get targetSamples(): number {
    return this.#target;
  }

  /**
   * Whether playback may run now. `complete` says that no more will come, so there is nothing to wait for;
   * `elapsed` is how long (in samples) the last silence lasted: nothing waits longer than twice its target.
   */
  passes(bufferedSamples: number, complete: boolean, elapsed: number): boolean {
    if (this.#open) return true;
    this.#waited += elapsed;
    if (!complete && bufferedSamples < this.#target && this.#waited < this.#target * 2) return false;
    this.#open = true;
    return true;
  }

  /** Playback has nothing to play: the next start is judged anew. */
  close(): void {
    this.#open = false;
    this.#waited = 0;
  }

  /** Playback ran dry in the middle of an answer. */
  ranDry(): void {
    this.#target = Math.min(MAX_START_SAMPLES, this.#target * 2);
  }

  /** An answer played to its end without running dry. */
  playedThrough(): void {
    this.#target = Math.max(START_SAMPLES, this.#target / 2);
  }
}
