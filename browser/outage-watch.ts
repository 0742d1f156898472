/** Silence of the server, in ms, that is told: its figures come each second, so that two of them are missing. */
const OUTAGE_MS = 3000;
/** How often it is looked at, in ms. */
const INTERVAL_MS = 500;

/** Nothing came from the server for `silentMs`; `over` when something came again. */
export interface Outage {
  readonly silentMs: number;
  readonly over: boolean;
}

/** Notices that nothing comes from the server any more, and that something comes again. */
export class OutageWatch {
  readonly #changed: (outage: Outage) => void;
  #heardAt = 0;
  #checkedAt = 0;
  #out = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(changed: (outage: Outage) => void) {
    this.#changed = changed;
  }

  /** From now on the server is expected to be heard each second. */
  start(): void {
    this.#heardAt = performance.now();
    this.#checkedAt = this.#heardAt;
    this.#timer ??= setInterval(() => this.#check(), INTERVAL_MS);
  }

  /** Something came from the server. */
  heard(): void {
    const now = performance.now();
    const silentMs = now - this.#heardAt;
    this.#heardAt = now;
    if (!this.#out) return;
    this.#out = false;
    this.#changed({ silentMs, over: true });
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#out = false;
  }

  #check(): void {
    const now = performance.now();
    const late = now - this.#checkedAt > 3 * INTERVAL_MS;
    this.#checkedAt = now;
    // The page itself stood still (a hidden tab, a sleeping machine): what came meanwhile is only read now.
    if (late && !this.#out) return;
    const silentMs = now - this.#heardAt;
    if (silentMs < OUTAGE_MS) return;
    this.#out = true;
    this.#changed({ silentMs, over: false });
  }
}
