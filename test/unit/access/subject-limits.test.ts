import { describe, expect, it } from 'vitest';
import { type Admission, ANYONE, SubjectLimits } from '../../../server/access/index.ts';

const NOON = Date.UTC(2026, 10, 28, 12);
const MINUTE = 60_000;

function limitsAt(start: number) {
  const clock = { now: start };
  return { clock, limits: new SubjectLimits(() => clock.now, 100) };
}
const admitted = (admission: Admission | string): Admission => {
  if (typeof admission === 'string') throw new Error(admission);
  return admission;
};

describe('SubjectLimits', () => {
  it('holds a subject to its calls at once', () => {
    const { limits } = limitsAt(NOON);
    const anna = { subject: 'anna', maxCalls: 2, minutesPerDay: undefined };
    const first = admitted(limits.admit(anna));
    admitted(limits.admit(anna));
    expect(limits.admit(anna)).toBe('too-many-calls');
    first.release();
    first.release();
    admitted(limits.admit(anna));
    expect(limits.admit(anna)).toBe('too-many-calls');
  });

  it('holds a subject to its minutes of the day, and says how long a call may last', () => {
    const { limits, clock } = limitsAt(NOON);
    const anna = { subject: 'anna', maxCalls: undefined, minutesPerDay: 30 };
    const first = admitted(limits.admit(anna));
    expect(first.remainingMs).toBe(30 * MINUTE);
    clock.now += 20 * MINUTE;
    first.release();
    const last = admitted(limits.admit(anna));
    expect(last.remainingMs).toBe(10 * MINUTE);
    clock.now += 11 * MINUTE;
    expect(last.remainingMs).toBe(0);
    last.release();
    expect(limits.admit(anna)).toBe('minutes-used-up');
    clock.now += 24 * 60 * MINUTE;
    expect(admitted(limits.admit(anna)).remainingMs).toBe(30 * MINUTE);
  });

  it('lets calls at once share the minutes: none is had twice', () => {
    const { limits, clock } = limitsAt(NOON);
    const anna = { subject: 'anna', maxCalls: undefined, minutesPerDay: 30 };
    const first = admitted(limits.admit(anna));
    clock.now += 10 * MINUTE;
    const second = admitted(limits.admit(anna));
    expect([first.remainingMs, second.remainingMs]).toEqual([10 * MINUTE, 10 * MINUTE]);
    clock.now += 4 * MINUTE;
    second.release();
    expect(first.remainingMs).toBe(12 * MINUTE);
    clock.now += 12 * MINUTE;
    expect(first.remainingMs).toBe(0);
    expect(limits.admit(anna)).toBe('minutes-used-up');
  });

  it('counts of a call over midnight only what falls into the new day', () => {
    const { limits, clock } = limitsAt(Date.UTC(2026, 10, 28, 23, 50));
    const anna = { subject: 'anna', maxCalls: undefined, minutesPerDay: 30 };
    const call = admitted(limits.admit(anna));
    clock.now += 15 * MINUTE;
    call.release();
    expect(admitted(limits.admit(anna)).remainingMs).toBe(25 * MINUTE);
  });

  it('has no limit for callers without a token, and remembers a bounded number of subjects', () => {
    const { limits } = limitsAt(NOON);
    for (let i = 0; i < 1000; i++) admitted(limits.admit(ANYONE));
    expect(limits.size).toBe(0);
    const anna = { subject: 'anna', maxCalls: 1, minutesPerDay: undefined };
    admitted(limits.admit(anna));
    for (let i = 0; i < 1000; i++) {
      const call = admitted(limits.admit({ subject: `s${i}`, maxCalls: 1, minutesPerDay: 1 }));
      call.release();
    }
    expect(limits.size).toBeLessThanOrEqual(101);
    expect(limits.admit(anna)).toBe('too-many-calls');
  });
});
