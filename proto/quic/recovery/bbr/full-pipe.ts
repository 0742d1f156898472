/** Growth that is none, and rounds of it, with which the pipe counts as full (BBR draft §5.3.1.2). */
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;

/** Tells when more is sent and no more arrives (BBR draft §5.3.1.2). */
export class FullPipe {
  #bandwidth = 0;
  #rounds = 0;
  /** It is full, by what was seen since `reset`. */
  now = false;
  /** It was full once. */
  reached = false;

  /** Begins anew, from a rate that is known. */
  reset(bandwidth: number): void {
    this.#bandwidth = bandwidth;
    this.#rounds = 0;
    this.now = false;
  }

  /** The first sample of a round, that tells of the path. */
  round(rate: number): void {
    if (this.now) return;
    if (rate >= this.#bandwidth * FULL_GROWTH) {
      this.reset(rate);
      return;
    }
    this.#rounds += 1;
    this.now = this.#rounds >= FULL_ROUNDS;
    if (this.now) this.reached = true;
  }
}
