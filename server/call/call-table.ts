/** What the table needs of a call. */
export interface TableCall {
  readonly id: string;
  /** Octets kept for a page that may come back. */
  readonly keptOctets: number;
  /** It waited long enough, or others need its place. */
  expire(sentence: string): void;
  /** The backend ends. */
  shutDown(): void;
}

/** Bounds of a `CallTable`. */
export interface CallTableLimits {
  /** How long a call waits for its page, in seconds. */
  readonly resumeSeconds: number;
  /** Calls that may wait at once; beyond it the one that waits longest ends. */
  readonly maxWaiting: number;
  /** Octets that waiting calls may keep together: messages and answer audio. */
  readonly maxOctets: number;
  /** Hears how many calls wait, when that changes. */
  readonly onWaiting?: ((waiting: number) => void) | undefined;
  /** Hears how long a call waited whose page came back, in seconds. */
  readonly onBack?: ((seconds: number) => void) | undefined;
}

const DEFAULT_CALL_TABLE_LIMITS: CallTableLimits = Object.freeze({
  resumeSeconds: 60,
  maxWaiting: 1000,
  maxOctets: 256 << 20,
});

/** How often the octets of waiting calls are added up, in ms. */
const REVIEW_MS = 1000;

/** The calls of a backend, those among them that wait for their page to come back, and how long they may. */
export class CallTable<C extends TableCall> {
  readonly #limits: CallTableLimits;
  readonly #calls = new Map<string, C>();
  /** In the order in which they began to wait. */
  readonly #waiting = new Map<C, { readonly timer: NodeJS.Timeout; readonly since: number }>();
  #review: NodeJS.Timeout | undefined;

  constructor(limits: Partial<CallTableLimits> = {}) {
    this.#limits = { ...DEFAULT_CALL_TABLE_LIMITS, ...limits };
  }

  get resumeSeconds(): number {
    return this.#limits.resumeSeconds;
  }

  /** Calls that it knows. */
  get size(): number {
    return this.#calls.size;
  }

  /** Calls without a session. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get(id: string): C | undefined {
    return this.#calls.get(id);
  }

  add(call: C): void {
    this.#calls.set(call.id, call);
  }

  /** The call is over. */
  remove(call: C): void {
    this.#leaveWaiting(call);
    if (this.#calls.get(call.id) === call) this.#calls.delete(call.id);
  }

  /** The call lost its session. */
  detached(call: C): void {
    if (this.#calls.get(call.id) !== call || this.#waiting.has(call)) return;
    const { resumeSeconds, maxWaiting } = this.#limits;
    const timer = setTimeout(
      () => this.#expire(call, `The page did not come back within ${resumeSeconds} s.`),
      resumeSeconds * 1000,
    );
    this.#waiting.set(call, { timer, since: performance.now() });
    this.#limits.onWaiting?.(this.#waiting.size);
    if (this.#waiting.size > maxWaiting) this.#expireOldest();
    this.#reviewOctets();
  }

  /** The call has a session again. */
  attached(call: C): void {
    const since = this.#waiting.get(call)?.since;
    if (since !== undefined) this.#limits.onBack?.((performance.now() - since) / 1000);
    this.#leaveWaiting(call);
  }

  #leaveWaiting(call: C): void {
    clearTimeout(this.#waiting.get(call)?.timer);
    if (this.#waiting.delete(call)) this.#limits.onWaiting?.(this.#waiting.size);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#review);
    this.#review = undefined;
  }

  /** Ends every call that waits. */
  close(): void {
    for (const call of [...this.#waiting.keys()]) call.shutDown();
  }

  #reviewOctets(): void {
    this.#review ??= setInterval(() => this.#reviewOctets(), REVIEW_MS).unref();
    let octets = 0;
    for (const call of this.#waiting.keys()) octets += call.keptOctets;
    while (octets > this.#limits.maxOctets) {
      const oldest = this.#waiting.keys().next().value;
      if (oldest === undefined) return;
      octets -= oldest.keptOctets;
      this.#expireOldest();
    }
  }

  #expireOldest(): void {
    const oldest = this.#waiting.keys().next().value;
    if (oldest !== undefined) this.#expire(oldest, 'Too many calls wait for their pages on this backend.');
  }

  #expire(call: C, sentence: string): void {
    this.remove(call);
    call.expire(sentence);
  }
}
