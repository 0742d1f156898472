/** What a call shows of itself at one moment. */
export interface Sign {
  readonly atMs: number;
  /** How long the backend has acknowledged none of what was said, in ms; 0 when nothing is under way. */
  readonly waitedMs: number;
  /** An answer is on its way, was heard already, and there is nothing of it to play. */
  readonly answerStopped: boolean;
}

/** How long before a fault the usual is taken, in ms. */
const USUAL_MS = 3000;
/** The call is well again when it was as usual for so long, in ms. */
const WELL_MS = 800;
/** Above the usual by less than this is as usual, in ms. */
const SLACK_MS = 150;
const MAX_SIGNS = 256;

/**
 * Measures how long a call falls silent: how much longer than usual the backend acknowledged none of the caller's words, or how long an
 * answer stopped in its middle, whichever was longer.
 */
export class SilenceMeter {
  /** The last signs; while a fault is watched they stay as they were. */
  #usual: Sign[] = [];
  #usualMs = 0;
  #longestMs = 0;
  #stoppedSince: number | undefined;
  #unwellAt = 0;
  #watching = false;

  /** From now on it counts; what was seen just before is the usual. */
  begin(atMs: number): void {
    this.#usualMs = Math.max(
      0,
      ...this.#usual.filter((sign) => atMs - sign.atMs < USUAL_MS).map((sign) => sign.waitedMs),
    );
    this.#longestMs = 0;
    this.#stoppedSince = undefined;
    this.#unwellAt = atMs;
    this.#watching = true;
  }

  /** To be given often, in order. */
  take(sign: Sign): void {
    if (!this.#watching) {
      this.#usual.push(sign);
      if (this.#usual.length > MAX_SIGNS) this.#usual.shift();
      return;
    }
    const beyondMs = sign.waitedMs - this.#usualMs;
    if (sign.answerStopped) this.#stoppedSince ??= sign.atMs;
    else this.#stoppedSince = undefined;
    const stoppedMs = this.#stoppedSince === undefined ? 0 : sign.atMs - this.#stoppedSince;
    this.#longestMs = Math.max(this.#longestMs, beyondMs, stoppedMs);
    if (beyondMs > SLACK_MS || stoppedMs > SLACK_MS) this.#unwellAt = sign.atMs;
  }

  /** A silence that the call itself reports, in ms. */
  reported(silentMs: number): void {
    if (this.#watching) this.#longestMs = Math.max(this.#longestMs, silentMs);
  }

  /** The call is as usual again, and was for a moment. */
  isWell(atMs: number): boolean {
    return atMs - this.#unwellAt >= WELL_MS;
  }

  /** The longest silence since it began, in whole ms. */
  end(): number {
    this.#watching = false;
    this.#usual = [];
    return Math.round(Math.max(0, this.#longestMs));
  }
}
