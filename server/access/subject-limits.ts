import type { Caller } from './tokens.ts';

/** Subjects whose minutes are remembered; beyond it, those that call no more are forgotten first. */
export const MAX_REMEMBERED_SUBJECTS = 100_000;
const MS_PER_MINUTE = 60_000;
const MS_PER_DAY = 24 * 60 * MS_PER_MINUTE;

interface Use {
  calls: number;
  /** Days since 1970, UTC. */
  day: number;
  /** Of that day, by calls that are over. */
  usedMs: number;
}

/** A call that counts. */
export interface Admission {
  /** Milliseconds that the call may last by the subject's minutes; undefined without a limit. */
  readonly remainingMs: number | undefined;
  /** The call is over: counts no more. May be called again without effect. */
  release(): void;
}

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

  /** Takes a call, or says which limit it would pass. A caller without a subject has none. */
  admit({ subject, maxCalls, minutesPerDay }: Caller): Admission | 'too-many-calls' | 'minutes-used-up' {
    if (subject === '') return { remainingMs: undefined, release: () => undefined };
    const startedAt = this.#nowEpochMs();
    const use = this.#use(subject, startedAt);
    if (maxCalls !== undefined && use.calls >= maxCalls) return 'too-many-calls';
    const remainingMs = minutesPerDay === undefined ? undefined : minutesPerDay * MS_PER_MINUTE - use.usedMs;
    if (remainingMs !== undefined && remainingMs <= 0) return 'minutes-used-up';
    use.calls += 1;
    let over = false;
    return {
      remainingMs,
      release: () => {
        if (over) return;
        over = true;
        const now = this.#nowEpochMs();
        const current = this.#use(subject, now);
        current.calls = Math.max(0, current.calls - 1);
        // Only what falls into the day that is counted.
        current.usedMs += now - Math.max(startedAt, current.day * MS_PER_DAY);
      },
    };
  }

  #use(subject: string, now: number): Use {
    const day = Math.floor(now / MS_PER_DAY);
    let use = this.#uses.get(subject);
    if (use === undefined) {
      use = { calls: 0, day, usedMs: 0 };
      this.#uses.set(subject, use);
      this.#forget();
    }
    if (use.day !== day) {
      use.day = day;
      use.usedMs = 0;
    }
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
