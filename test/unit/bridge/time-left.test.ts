import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { watchTimeLeft } from '../../../server/bridge/time-left.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watch(left: (nowMs: number) => number | undefined) {
  const start = Date.now();
  const said: string[] = [];
  const at = () => Math.round((Date.now() - start) / 1000);
  const stop = watchTimeLeft(() => left(Date.now() - start), {
    near: (ms) => said.push(`${at()} s: ${Math.ceil(ms / 1000)} s left`),
    over: () => said.push(`${at()} s: over`),
  });
  return { said, stop };
}

describe('the time that a caller has left', () => {
  it('is told a minute before its end, and ends the call', () => {
    const { said } = watch((now) => 600_000 - now);
    vi.advanceTimersByTime(1_000_000);
    expect(said).toEqual(['540 s: 60 s left', '600 s: over']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that is short from the start is told at once', () => {
    const { said } = watch((now) => 20_000 - now);
    vi.advanceTimersByTime(100_000);
    expect(said).toEqual(['0 s: 20 s left', '20 s: over']);
  });

  it('passes faster when a second call begins, and is full again on a new day', () => {
    const twice = watch((now) => (now < 60_000 ? 300_000 - now : 240_000 - 2 * (now - 60_000)));
    vi.advanceTimersByTime(1_000_000);
    expect(twice.said.at(-1)).toBe('180 s: over');
    const day = watch((now) => (now < 30_000 ? 50_000 - now : 600_000 - (now - 30_000)));
    vi.advanceTimersByTime(1_000_000);
    expect(day.said).toEqual(['0 s: 50 s left', '570 s: 60 s left', '630 s: over']);
  });

  it('without a limit sets no timer; one that is stopped says no more', () => {
    watch(() => undefined);
    expect(vi.getTimerCount()).toBe(0);
    const { said, stop } = watch((now) => 10_000 - now);
    stop();
    vi.advanceTimersByTime(100_000);
    expect(said).toEqual(['0 s: 10 s left']);
  });
});
