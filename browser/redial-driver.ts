import { loadLateParts } from './late-parts.ts';
import type { Redial, RedialStep, RedialTarget } from './redial.ts';

/** How often the policy is asked for, where the network went before it was loaded, in ms. */
const RELOAD_MS = 1000;

/** For what another session is looked for. */
export interface RedialWish {
  /** How long it is looked for, in ms. */
  readonly windowMs: number;
  /** Where first. */
  readonly target: RedialTarget;
  /** The backend that has the call has a name. */
  readonly hasOwner: boolean;
  /** The backend itself ended the session. */
  readonly byServer: boolean;
}

/** Drives the redial policy by the page's clock: loads it once a session stands, does what it says, and sets its timer. */
export class RedialDriver {
  readonly #step: (step: RedialStep) => void;
  #policy: Redial | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attachedAt = Number.NEGATIVE_INFINITY;
  /** The wish that waits for the policy. */
  #waiting: RedialWish | undefined;
  #closed = false;

  constructor(step: (step: RedialStep) => void) {
    this.#step = step;
  }

  /** Fulfils when the policy is there, or could not be loaded. */
  async load(): Promise<void> {
    const parts = await loadLateParts();
    if (parts === undefined || this.#policy !== undefined) return;
    this.#policy = new parts.Redial(Math.random);
    this.#policy.attached(this.#attachedAt);
  }

  /** A new session is needed. */
  begin(wish: RedialWish): void {
    if (this.#policy === undefined) {
      const waits = this.#waiting !== undefined;
      this.#waiting = wish;
      if (!waits) void this.#untilLoaded(performance.now());
      return;
    }
    const { windowMs, target, hasOwner, byServer } = wish;
    this.#policy.begin(performance.now(), windowMs, target, hasOwner, byServer);
    this.drive();
  }

  /** The network may be back. */
  wake(): void {
    this.#policy?.wake(performance.now());
    this.drive();
  }

  /** A session carries the call. */
  attached(now: number): void {
    this.#attachedAt = now;
    this.#policy?.attached(now);
  }

  /** This dial has a session. */
  standing(id: number): void {
    this.#policy?.standing(id);
  }

  /** A dial failed, or its session ended before it carried the call. */
  failed(id: number): void {
    this.#policy?.failed(id, performance.now());
    this.drive();
  }

  /** No other session is needed. */
  cancel(): void {
    this.#waiting = undefined;
    this.#policy?.cancel();
    this.drive();
  }

  /** The call is over. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting = undefined;
    this.#policy?.cancel();
  }

  /** Does what the policy says, and sets the timer. */
  drive(): void {
    const policy = this.#policy;
    if (this.#closed || policy === undefined) return;
    for (let step = policy.poll(performance.now()); step; step = policy.poll(performance.now()))
      this.#step(step);
    clearTimeout(this.#timer);
    const { deadline } = policy;
    if (this.#closed || deadline === undefined) return;
    this.#timer = setTimeout(() => this.drive(), Math.max(0, deadline - performance.now()));
  }

  /** The network went before the policy was loaded: it is asked for until then, or until the time for it is over. */
  async #untilLoaded(since: number): Promise<void> {
    for (;;) {
      await this.load();
      const wish = this.#waiting;
      if (wish === undefined || this.#closed) return;
      if (this.#policy !== undefined) {
        this.#waiting = undefined;
        return this.begin(wish);
      }
      if (performance.now() - since >= wish.windowMs) {
        this.#waiting = undefined;
        return this.#step({ type: 'give_up' });
      }
      await new Promise((resolve) => setTimeout(resolve, RELOAD_MS));
    }
  }
}
