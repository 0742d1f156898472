import type { Caller } from './tokens.ts';

/** Subjects whose minutes are remembered; beyond it, those that call no more are forgotten first. */
export const MAX_REMEMBERED_SUBJECTS = 100_000;
const MS_PER_MINUTE = 60_000;
const MS_PER_DAY = 24 * 60 * MS_PER_MINUTE;

interface Use {
  calls: number;
  /** Of the day in which `countedAt` lies, by calls that are over and by those that run, up to then. */
  usedMs: number;
  /** In ms since 1970. */
  countedAt: number;
}

/** A call that counts. */
export interface Admission {
  /**
   * Milliseconds that the call may go on by the subject's minutes of this day (UTC), as of now; undefined without a limit. Calls
   * at once share them: with two, they pass twice as fast.
   */
  readonly remainingMs: number | undefined;
  /** The call is over: counts no more. May be called again without effect. */
  release(): void;
}

/** Why a subject may begin no call. */
export type LimitReached = 'too-many-calls' | 'minutes-used-up';

/** Counts calls and minutes per subject, as each backend sees them. */
export class SubjectLimits {
  readonly #uses = new Map<string, Use>();
  readonly #nowEpochMs: () => number;
  readonly #maxSubjects: number;

  constructor(nowEpochMs: () => number = Date.now, maxSubjects = MAX_REMEMBERED_SUBJECTS) {
    this.#nowEpochMs = nowEpochMs;
    this.#maxSubjects = maxSubjects;
  }

  /** Subjects remembered. */
  get size(): number {
    return this.#uses.size;
  }

  /** The limit that a call would pass now, if any; `replaced` calls of the subject end when it begins. */
  reached({ subject, maxCalls, minutesPerDay }: Caller, replaced = 0): LimitReached | undefined {
    if (subject === '') return undefined;
    const { calls, usedMs } = this.#count(subject);
    if (maxCalls !== undefined && calls - replaced >= maxCalls) return 'too-many-calls';
    if (minutesPerDay !== undefined && usedMs >= minutesPerDay * MS_PER_MINUTE) return 'minutes-used-up';
    return undefined;
  }

  /** Takes a call, or says which limit it would pass. A caller without a subject has none. */
  admit(caller: Caller, replaced = 0): Admission | LimitReached {
    const { subject, minutesPerDay } = caller;
    if (subject === '') return { remainingMs: undefined, release: () => undefined };
    const reached = this.reached(caller, replaced);
    if (reached !== undefined) return reached;
    const limitMs = minutesPerDay === undefined ? undefined : minutesPerDay * MS_PER_MINUTE;
    this.#count(subject).calls += 1;
    const remaining = () => {
      if (limitMs === undefined) return undefined;
      const { usedMs, calls } = this.#count(subject);
      return Math.max(0, limitMs - usedMs) / Math.max(1, calls);
    };
    let over = false;
    return {
      get remainingMs() {
        return remaining();
      },
      release: () => {
        if (over) return;
        over = true;
        const current = this.#count(subject);
        current.calls = Math.max(0, current.calls - 1);
      },
    };
  }

  /** The subject's use, with what running calls have used until now. A new day begins at nought. */
  #count(subject: string): Use {
    const now = this.#nowEpochMs();
    let use = this.#uses.get(subject);
    if (use === undefined) {
      use = { calls: 0, usedMs: 0, countedAt: now };
      this.#uses.set(subject, use);
      this.#forget();
      return use;
    }
    const dayBegan = Math.floor(now / MS_PER_DAY) * MS_PER_DAY;
    if (use.countedAt < dayBegan) {
      use.usedMs = 0;
      use.countedAt = dayBegan;
    }
    // A clock that was set back takes nothing away.
    use.usedMs += use.calls * Math.max(0, now - use.countedAt);
    use.countedAt = now;
    return use;
  }

  /** Oldest first, but no subject that has a call: at most as many looks as one new subject may cost. */
  #forget(): void {
    let looks = 8;
    for (const [subject, use] of this.#uses) {
      if (this.#uses.size <= this.#maxSubjects || looks-- === 0) return;
      this.#uses.delete(subject);
      if (use.calls > 0) this.#uses.set(subject, use);
    }
  }
}
