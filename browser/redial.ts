/**
 * Waits between one attempt to dial again and the next, in ms; the last one repeats. Chromium 156 sends a dial's first packets for the
 * last time some 2.3 s after its begin and gives it up at 4 s: with steps of up to 3.25 s no more than 5 s pass without a packet that
 * the network, if it is back, could carry.
 */
export const REDIAL_STEPS_MS = [250, 1000, 2500, 3250, 3250, 3250, 5000] as const;
/** The first dial is left that long without an answer, in ms, before another is begun beside it, to the other place. */
export const HEDGE_MS = 1500;
/**
 * The same for later ones. Chromium 156 counts a WebTransport session that did not come to be for five minutes, and doubles the time
 * for which it holds the next one back with each: the ninth waits 2.5 s, the twelfth 20 s. It gives a dial up after 4 s by itself.
 */
export const LATE_HEDGE_MS = 8000;
/** Dials that may run at once. The oldest stands first where Chromium holds them back, and keeps its place. */
export const MAX_DIALS = 3;
/** How long a later dial may take, in ms, where the page's maker does not say: longer than Chromium holds one back. */
export const REDIAL_TIMEOUT_MS = 30_000;
/** An attachment that lasted that long, in ms, was a good one: the next loss is dialled at once again. */
const STABLE_MS = 10_000;
/** A dial that is younger than this, in ms, is as good as a new one when the network returns. */
const FRESH_MS = 250;

/** Where to dial: the backend that has the call, by its name, or the URL that the page was given. */
export type RedialTarget = 'owner' | 'original';

/** What to do next. */
export type RedialStep =
  | { readonly type: 'dial'; readonly id: number; readonly target: RedialTarget }
  /** Stop this dial: it is not wanted any more. */
  | { readonly type: 'abandon'; readonly id: number }
  /** The time for dialling again is over. */
  | { readonly type: 'give_up' };

interface Dial {
  readonly id: number;
  readonly startedAt: number;
  /** Wait after it failed, in ms. */
  stepMs: number;
}

/**
 * When to dial again, and where: at once, then in jittered steps. It knows no network and no clock: the owner tells what
 * happened, in ms of any one clock, and does what `poll` gives, at `deadline` at the latest.
 */
export class Redial {
  readonly #random: () => number;
  #active = false;
  #dials: Dial[] = [];
  #abandoned: number[] = [];
  #nextId = 0;
  #attempt = 0;
  #nextAt = 0;
  #until = 0;
  #standing: number | undefined;
  #attachedAt = Number.NEGATIVE_INFINITY;
  #target: RedialTarget = 'original';
  #hasOwner = false;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Whether it dials, or waits to. */
  get active(): boolean {
    return this.#active;
  }

  /** When to `poll` at the latest; undefined when only news can change anything. */
  get deadline(): number | undefined {
    if (this.#abandoned.length > 0) return Number.NEGATIVE_INFINITY;
    if (!this.#active || this.#standing !== undefined) return undefined;
    return this.#full ? this.#until : Math.min(this.#nextAt, this.#until);
  }

  /**
   * A new session is needed, for `windowMs` at most. `target` is where it is looked for first; without an owner's name it is
   * the original URL always. `byServer`: the backend itself ended the session, so that dialling without a pause could go round in a circle.
   */
  begin(now: number, windowMs: number, target: RedialTarget, hasOwner: boolean, byServer = false): void {
    this.#hasOwner = hasOwner;
    if (this.#active) return;
    this.#active = true;
    this.#target = hasOwner ? target : 'original';
    const again = byServer && now - this.#attachedAt < STABLE_MS;
    if (!again) this.#attempt = 0;
    // In a circle of sessions that end at once, the time runs from the first of them.
    if (!again || this.#until === 0) this.#until = now + windowMs;
    this.#nextAt = again ? now + this.#step() : now;
  }

  /** The network may be back: dial now, and begin the steps again. */
  wake(now: number): void {
    if (!this.#active) return;
    this.#attempt = 0;
    const newest = this.#dials.at(-1);
    if (newest !== undefined && now - newest.startedAt < FRESH_MS) {
      // It may have been begun a moment before the network was there, and fail for that alone.
      newest.stepMs = this.#step();
      return;
    }
    this.#nextAt = now;
    // Those that were begun without a network are of little use, but for the one that the browser lets through next.
    const second = this.#dials[1];
    if (this.#full) this.#abandon((dial) => dial === second);
  }

  /** A dial failed, or its session ended before it carried the call. */
  failed(id: number, now: number): void {
    const dial = this.#dials.find((one) => one.id === id);
    if (dial === undefined) return;
    const isNewest = dial === this.#dials.at(-1);
    this.#dials = this.#dials.filter((one) => one !== dial);
    if (this.#standing === id) this.#standing = undefined;
    // One that was begun beside it has its own time.
    if (isNewest) this.#nextAt = now + dial.stepMs;
  }

  /** This dial has a session, which is asked to take the call: the others are not needed unless it fails. */
  standing(id: number): void {
    this.#standing = id;
    this.#abandon((dial) => dial.id !== id);
  }

  /** A session carries the call. */
  attached(now: number): void {
    this.#attachedAt = now;
    this.#dials = this.#dials.filter(({ id }) => id !== this.#standing);
    this.cancel();
  }

  /** No other session is needed: the old one came to life, or the call is over. */
  cancel(): void {
    this.#active = false;
    this.#standing = undefined;
    this.#abandon(() => true);
  }

  /** The next thing to do; undefined when there is none now. */
  poll(now: number): RedialStep | undefined {
    const abandoned = this.#abandoned.shift();
    if (abandoned !== undefined) return { type: 'abandon', id: abandoned };
    if (!this.#active || this.#standing !== undefined) return undefined;
    if (now >= this.#until) {
      this.cancel();
      // What it abandons stands in the queue; a call that ends stops all its dials anyway.
      return { type: 'give_up' };
    }
    if (now < this.#nextAt) return undefined;
    if (this.#full) return undefined;
    const stepMs = this.#step();
    const target = this.#target;
    // The next one goes to the other place, whether this one fails or gives no answer.
    if (this.#hasOwner) this.#target = target === 'owner' ? 'original' : 'owner';
    const dial = { id: this.#nextId++, startedAt: now, stepMs };
    this.#dials.push(dial);
    this.#nextAt = now + (this.#attempt === 1 ? HEDGE_MS : LATE_HEDGE_MS);
    return { type: 'dial', id: dial.id, target };
  }

  get #full(): boolean {
    return this.#dials.length >= MAX_DIALS;
  }

  #step(): number {
    const stepMs = REDIAL_STEPS_MS[Math.min(this.#attempt, REDIAL_STEPS_MS.length - 1)]!;
    this.#attempt += 1;
    return stepMs * (0.5 + this.#random() / 2);
  }

  #abandon(which: (dial: Dial) => boolean): void {
    for (const dial of this.#dials) if (which(dial)) this.#abandoned.push(dial.id);
    this.#dials = this.#dials.filter((dial) => !which(dial));
  }
}
