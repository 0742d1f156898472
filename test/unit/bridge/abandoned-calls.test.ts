import { afterEach, beforeEach, expect, test } from 'vitest';
import { REPEATABLE_CIPHER } from '../../simulation/calls/seal-cipher.ts';
import { VirtualTime } from '../../simulation/calls/virtual-time.ts';
import { waitingCalls } from '../../support/waiting-calls.ts';

const CALLS = 1000;
const RESUME_SECONDS = 60;

let time: VirtualTime;

beforeEach(() => {
  time = new VirtualTime(1);
  time.install();
});
afterEach(() => {
  time.uninstall();
});

/** Without the clock going on. */
async function atOnce(action: Promise<void>): Promise<void> {
  await time.settle();
  await action;
}

test(`${CALLS} abandoned calls wait for ${RESUME_SECONDS} s, then nothing of them is left: no entry, no timer, no upstream`, async () => {
  const timersBefore = time.timers;
  const { calls, upstreams, abandon } = waitingCalls(RESUME_SECONDS, CALLS, REPEATABLE_CIPHER);
  for (let i = 0; i < CALLS; i++) await atOnce(abandon(0));
  expect([calls.size, calls.waiting]).toEqual([CALLS, CALLS]);
  expect(upstreams.filter(({ closed }) => closed)).toEqual([]);
  // What a waiting call costs in timers: its own time limit, its wait, and the change before the upstream's limit.
  expect(time.timers - timersBefore).toBeLessThan(8 * CALLS);
  await time.runUntil(time.now + RESUME_SECONDS * 1000 - 1000);
  expect(calls.waiting).toBe(CALLS);
  await time.runUntil(time.now + 2000);
  expect([calls.size, calls.waiting]).toEqual([0, 0]);
  expect(upstreams.filter(({ closed }) => !closed)).toEqual([]);
  expect(time.timers).toBe(timersBefore);
}, 60_000);

test('of more than may wait the one that waits longest ends', async () => {
  const { calls, upstreams, abandon } = waitingCalls(RESUME_SECONDS, 3, REPEATABLE_CIPHER);
  for (let i = 0; i < 5; i++) await atOnce(abandon(0));
  expect(calls.waiting).toBe(3);
  expect(upstreams.map(({ closed }) => closed)).toEqual([true, true, false, false, false]);
});
