import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { waitingCalls } from '../../support/waiting-calls.ts';

const CALLS = 1000;
const RESUME_SECONDS = 60;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test(`${CALLS} abandoned calls wait for ${RESUME_SECONDS} s, then nothing of them is left: no entry, no timer, no upstream`, async () => {
  const timersBefore = vi.getTimerCount();
  const { calls, upstreams, abandon } = waitingCalls(RESUME_SECONDS, CALLS);
  for (let i = 0; i < CALLS; i++) await abandon(0);
  expect([calls.size, calls.waiting]).toEqual([CALLS, CALLS]);
  expect(upstreams.filter(({ closed }) => closed)).toEqual([]);
  // What a waiting call costs in timers: its own time limit, its wait, and the change before the upstream's limit.
  expect(vi.getTimerCount() - timersBefore).toBeLessThan(8 * CALLS);
  await vi.advanceTimersByTimeAsync(RESUME_SECONDS * 1000 - 1000);
  expect(calls.waiting).toBe(CALLS);
  await vi.advanceTimersByTimeAsync(2000);
  expect([calls.size, calls.waiting]).toEqual([0, 0]);
  expect(upstreams.filter(({ closed }) => !closed)).toEqual([]);
  expect(vi.getTimerCount()).toBe(timersBefore);
}, 60_000);

test('of more than may wait the one that waits longest ends', async () => {
  const { calls, upstreams, abandon } = waitingCalls(RESUME_SECONDS, 3);
  for (let i = 0; i < 5; i++) await abandon(0);
  expect(calls.waiting).toBe(3);
  expect(upstreams.map(({ closed }) => closed)).toEqual([true, true, false, false, false]);
});
