import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MovePace, moveWhenDraining } from '../../../server/bridge/drain-move.ts';

const DRAIN_MS = 10_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Drains a backend of so many calls, of which `quiet` says when they pause; gives when each is asked to move, in ms. */
function drain(calls: number, quiet: (call: number, now: number) => boolean): number[] {
  const draining = new AbortController();
  setMaxListeners(0, draining.signal);
  const pace = new MovePace(() => calls, DRAIN_MS);
  const movedAt: number[] = [];
  const begun = performance.now();
  for (let call = 0; call < calls; call++) {
    const host = {
      pace,
      quiet: (now: number) => quiet(call, now - begun),
      delivering: () => false,
      over: () => false,
      move: () => movedAt.push(performance.now() - begun),
    };
    moveWhenDraining(draining.signal, host, DRAIN_MS);
  }
  draining.abort();
  vi.advanceTimersByTime(DRAIN_MS);
  return movedAt;
}

/** Most moves within any `ms`. */
function most(movedAt: readonly number[], ms: number): number {
  return Math.max(...movedAt.map((from) => movedAt.filter((at) => at >= from && at < from + ms).length));
}

describe('the calls of a backend that drains', () => {
  it('leave one after the other when all pause, a tenth of a second apart', () => {
    const movedAt = drain(5, () => true);
    expect(movedAt).toEqual([0, 100, 200, 300, 400]);
  });

  it('of many, none is held back: with a pause all leave in the first half of the time', () => {
    const movedAt = drain(300, () => true);
    expect(movedAt).toHaveLength(300);
    expect(movedAt.at(-1)).toBeLessThan(DRAIN_MS / 2);
  });

  it('of many without a pause, all leave in what is left of the time, and not at the same moment', () => {
    const movedAt = drain(30, () => false);
    expect(movedAt).toHaveLength(30);
    expect(movedAt[0]).toBeGreaterThanOrEqual(DRAIN_MS / 2);
    expect(movedAt.at(-1)).toBeLessThan(0.81 * DRAIN_MS);
    expect(most(movedAt, 1000)).toBeLessThanOrEqual(11);
  });

  it('without any time are not held back', () => {
    const pace = new MovePace(() => 3, 0);
    expect([pace.take(0), pace.take(0), pace.take(5)]).toEqual([true, true, true]);
  });

  it('a call that is the only one leaves in its next pause at once', () => {
    expect(drain(1, (_, now) => now >= 700)).toEqual([700]);
  });
});
