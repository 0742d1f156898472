import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { SeededRandom } from '../random.ts';
import { Schedule } from '../schedule.ts';
import { Violation } from '../violation.ts';

/** Wall clock at which runs begin, in ms since 1970. */
const START_EPOCH_MS = Date.UTC(2026, 0, 1);
/** Turns at one moment: far more than what happens at any. */
const MAX_TURNS = 20_000;

/** The clock of a model: a virtual one, or the real one. */
export interface ModelTime {
  readonly now: number;
  later(ms: number, action: () => void): void;
  readonly schedule: { at(time: number, action: () => void): void };
}

/** What a timer function gives here: cleared like Node's, and like a browser's. */
class Timer {
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

const realImmediate = setImmediate;
const REPLACED = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'setImmediate',
  'clearImmediate',
] as const;

/**
 * The clock, the timers and the randomness of code that is driven as it ships: while it is installed, `setTimeout`, `Date.now`,
 * `performance.now`, `Math.random` and `randomUUID` give what the seed says. Promises run as they are: between two happenings all of
 * them settle, in the one order that the engine knows, so a seed repeats to the octet.
 */
export class VirtualTime {
  now = 0;
  readonly schedule = new Schedule();
  readonly #random: SeededRandom;
  readonly #timers = new Set<Timer>();
  #immediates: (() => void)[] = [];
  #undo: (() => void)[] = [];
  #failure: unknown;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed, 'process');
  }

  readonly #rejected = (reason: unknown): void => {
    this.#failure ??= reason;
  };

  /** Timers that are set and have not fired, and intervals that go on. */
  get timers(): number {
    return this.#timers.size;
  }

  install(): void {
    const globals = globalThis as unknown as Record<string, unknown>;
    const before = REPLACED.map((name) => [name, globals[name]] as const);
    globals.setTimeout = (action: () => void, ms = 0) => this.#timer(action, ms, false);
    globals.setInterval = (action: () => void, ms = 0) => this.#timer(action, ms, true);
    globals.setImmediate = (action: () => void) => this.#immediates.push(action);
    for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate'])
      globals[name] = (timer: unknown) => {
        if (timer instanceof Timer) this.#timers.delete(timer);
      };
    const { now: performanceNow } = performance;
    const { now: dateNow } = Date;
    const { random } = Math;
    const { randomUUID } = crypto;
    performance.now = () => this.now;
    Date.now = () => START_EPOCH_MS + Math.floor(this.now);
    Math.random = () => this.#random.number();
    crypto.randomUUID = () => this.#uuid();
    syncBuiltinESMExports();
    process.on('unhandledRejection', this.#rejected);
    this.#undo.push(() => {
      for (const [name, value] of before) globals[name] = value;
      performance.now = performanceNow;
      Date.now = dateNow;
      Math.random = random;
      crypto.randomUUID = randomUUID;
      syncBuiltinESMExports();
      process.off('unhandledRejection', this.#rejected);
    });
  }

  uninstall(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  /** Does something `ms` from now. */
  later(ms: number, action: () => void): void {
    this.schedule.at(this.now + Math.max(0, ms), action);
  }

  /** Runs until the condition holds (true), or until `end`, or until nothing is left to happen (false). */
  async runUntil(end: number, done: () => boolean = () => false): Promise<boolean> {
    for (;;) {
      await this.settle();
      if (done()) return true;
      const next = this.schedule.nextAt;
      if (next === undefined || next > end) {
        this.now = Math.max(this.now, end);
        return false;
      }
      this.now = Math.max(this.now, next);
      this.schedule.take(this.now)?.();
    }
  }

  /** All promises settle, and what was put off to the next turn of the loop happens. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < MAX_TURNS; turns++) {
      await new Promise<void>((resolve) => realImmediate(resolve));
      if (this.#failure !== undefined) throw this.#failure;
      const immediates = this.#immediates;
      if (immediates.length === 0) return;
      this.#immediates = [];
      for (const action of immediates) action();
    }
    throw new Violation('deadlines', `more than ${MAX_TURNS} turns at ${this.now}: something spins`);
  }

  #timer(action: () => void, ms: number, repeats: boolean): Timer {
    const timer = new Timer();
    this.#timers.add(timer);
    const delay = Number.isFinite(ms) ? Math.max(1, ms) : 1;
    const run = (): void => {
      if (!this.#timers.has(timer)) return;
      if (repeats) this.later(delay, run);
      else this.#timers.delete(timer);
      action();
    };
    this.later(delay, run);
    return timer;
  }

  #uuid(): `${string}-${string}-${string}-${string}-${string}` {
    const hex = Buffer.from(this.#random.octets(16)).toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}
