import { Violation } from '../violation.ts';

/** Deadlines of one host within a millisecond: a driver that is woken more often than that spins. */
const MAX_PER_MILLISECOND = 100;

/** A deadline that was served lies in the future. */
export class DeadlineChecker {
  #late = 0;
  #windowStart = Number.NEGATIVE_INFINITY;
  #inWindow = 0;

  /** After `onDeadline` at `now` and all that followed from it, `next` is the next one. */
  onServed(host: string, next: number | undefined, now: number): void {
    this.#late = next !== undefined && next <= now ? this.#late + 1 : 0;
    if (this.#late > 1) {
      throw new Violation('deadlines', `${host} was served at ${now} twice and still wants ${next}`);
    }
    if (now - this.#windowStart > 1) {
      this.#windowStart = now;
      this.#inWindow = 0;
    }
    this.#inWindow += 1;
    if (this.#inWindow > MAX_PER_MILLISECOND) {
      throw new Violation(
        'deadlines',
        `${host} wanted ${this.#inWindow} deadlines within a millisecond at ${now}`,
      );
    }
  }
}
