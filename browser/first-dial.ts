import { endsTheCall, timeoutError, toCallError } from './errors.ts';
import { REDIAL_STEPS_MS } from './redial.ts';

/** What the first dial of a call is given. */
export interface FirstDialOptions {
  readonly url: string;
  /** Longest time from the first attempt to a session, in ms. */
  readonly timeoutMs: number;
  /** Aborted: the call is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Time in which nothing is done; it ends early with the signal, or by `wake`. */
class Pause {
  #end: () => void = () => {};

  wake(): void {
    this.#end();
  }

  take(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end(), ms);
      this.#end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', this.#end);
        resolve();
      };
      if (signal.aborted) this.#end();
      else signal.addEventListener('abort', this.#end, { once: true });
    });
  }
}

/**
 * The first dial of a call, which is tried again in the steps of a redial when it fails by something that may heal: a network that comes
 * back, a backend that begins or ends. What a backend refuses is not asked again.
 */
export class FirstDial {
  readonly #pause = new Pause();
  #failures = 0;

  /** The network may be back: the next attempt begins now, or soon after the one that runs, and the steps begin again. */
  wake(): void {
    this.#failures = 0;
    this.#pause.wake();
  }

  /** Rejects with a `CallError`: that of the last attempt, or that none came to an end. `attempt` ends with the signal that it is given. */
  async run<Result>(
    { url, timeoutMs, signal }: FirstDialOptions,
    attempt: (signal: AbortSignal, inTime: () => void) => Promise<Result>,
  ): Promise<Result> {
    const ended = new AbortController();
    const stop = () => ended.abort(signal.reason);
    const endsAt = performance.now() + timeoutMs;
    const late = () => ended.abort(timeoutError(url, timeoutMs / 1000, 'answer'));
    const timer = setTimeout(late, timeoutMs);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    try {
      for (;;) {
        try {
          return await attempt(ended.signal, () => clearTimeout(timer));
        } catch (error) {
          const stepMs = REDIAL_STEPS_MS[Math.min(this.#failures, REDIAL_STEPS_MS.length - 1)]!;
          this.#failures += 1;
          const waitMs = stepMs * (0.5 + Math.random() / 2);
          const inTime = performance.now() + waitMs < endsAt;
          if (ended.signal.aborted || endsTheCall(toCallError(error)) || !inTime) throw error;
          await this.#pause.take(waitMs, ended.signal);
          if (ended.signal.aborted) throw error;
        }
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    }
  }
}
