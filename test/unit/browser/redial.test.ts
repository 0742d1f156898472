import { describe, expect, it } from 'vitest';
import {
  HEDGE_MS,
  LATE_HEDGE_MS,
  MAX_DIALS,
  REDIAL_STEPS_MS,
  Redial,
  type RedialStep,
} from '../../../browser/redial.ts';

/** Everything the policy wants at this moment. */
function drain(redial: Redial, now: number): RedialStep[] {
  const steps: RedialStep[] = [];
  for (let step = redial.poll(now); step !== undefined; step = redial.poll(now)) steps.push(step);
  return steps;
}

/** Lets time pass until `endMs`; every dial fails after `failMs`, or never where it is undefined. */
function run(redial: Redial, endMs: number, failMs: number | undefined) {
  const dials: { at: number; id: number; target: string }[] = [];
  const abandoned: number[] = [];
  const fails: { at: number; id: number }[] = [];
  let gaveUpAt: number | undefined;
  for (let now = 0; now <= endMs; now += 10) {
    for (const { id } of fails.filter(({ at }) => at === now)) redial.failed(id, now);
    for (const step of drain(redial, now)) {
      if (step.type === 'dial') {
        dials.push({ at: now, id: step.id, target: step.target });
        if (failMs !== undefined) fails.push({ at: now + failMs, id: step.id });
      } else if (step.type === 'abandon') abandoned.push(step.id);
      else gaveUpAt = now;
    }
  }
  return { dials, abandoned, gaveUpAt };
}

const most = () => 0.999_999;
const least = () => 0;

describe('when the page dials again', () => {
  it('dials at once, then in steps from 0.25 to 5 s after each failure, and gives up when the time is over', () => {
    const redial = new Redial(most);
    redial.begin(0, 40_000, 'owner', false);
    const { dials, gaveUpAt } = run(redial, 50_000, 100);
    const gaps = dials.slice(1).map(({ at }, i) => at - dials[i]!.at - 100);
    expect(dials[0]!.at).toBe(0);
    expect(gaps.slice(0, 8)).toEqual([...REDIAL_STEPS_MS, 5000]);
    expect(gaveUpAt).toBe(40_000);
    expect(redial.active).toBe(false);
  });

  it('draws each step between half of it and all of it', () => {
    const redial = new Redial(least);
    redial.begin(0, 30_000, 'owner', false);
    const { dials } = run(redial, 10_000, 10);
    expect(dials.slice(0, 4).map(({ at }) => at)).toEqual([0, 140, 650, 1910]);
  });

  it('leaves dials that give no answer, three at most: the browser may hold them back, and lets the oldest through first', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', true);
    const { dials, abandoned } = run(redial, 30_000, undefined);
    expect(dials.map(({ at }) => at)).toEqual([0, HEDGE_MS, HEDGE_MS + LATE_HEDGE_MS]);
    expect(dials.map(({ target }) => target)).toEqual(['owner', 'original', 'owner']);
    expect(abandoned).toEqual([]);
    expect(dials).toHaveLength(MAX_DIALS);
    expect(redial.deadline).toBe(60_000);
    // One that fails, late, makes room at once.
    redial.failed(0, 30_000);
    expect(drain(redial, 30_000)).toMatchObject([{ type: 'dial', target: 'original' }]);
  });

  it('with three without an answer, news of the network begins another in the place of one that is not the oldest', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', false);
    run(redial, 20_000, undefined);
    redial.wake(20_000);
    expect(redial.deadline).toBe(Number.NEGATIVE_INFINITY);
    expect(drain(redial, 20_000)).toMatchObject([{ type: 'abandon', id: 1 }, { type: 'dial' }]);
    expect(drain(redial, 20_000)).toEqual([]);
  });

  it('in a minute without a network begins so few that Chromium holds none back for long, and none late', () => {
    for (const random of [most, least]) {
      const redial = new Redial(random);
      redial.begin(0, 60_000, 'owner', false);
      // Chromium gives a handshake up after 4 s.
      const { dials } = run(redial, 60_000, 4000);
      expect(dials.length).toBeLessThan(12);
      const pauses = dials.slice(1).map(({ at }, i) => at - dials[i]!.at - 4000);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(REDIAL_STEPS_MS.at(-1)!);
    }
  });

  it('dials as soon as the network may be back, from the first step on', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', false);
    run(redial, 9000, 10);
    expect(drain(redial, 9100)).toEqual([]);
    redial.wake(9100);
    const [dial] = drain(redial, 9100);
    expect(dial).toMatchObject({ type: 'dial' });
    // Several events tell of the same return.
    redial.wake(9150);
    expect(drain(redial, 9150)).toEqual([]);
    redial.failed((dial as { id: number }).id, 9200);
    expect(drain(redial, 9440)).toEqual([]);
    expect(drain(redial, 9450)).toMatchObject([{ type: 'dial' }]);
  });

  it('a dial that was begun a moment before the network came back is followed by another after the first step', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'original', false);
    const { dials } = run(redial, 9000, 10);
    expect(dials.length).toBeGreaterThan(4);
    const at = redial.deadline!;
    const [dial] = drain(redial, at);
    redial.wake(at + 1);
    expect(drain(redial, at + 1)).toEqual([]);
    redial.failed((dial as { id: number }).id, at + 10);
    expect(redial.deadline).toBeCloseTo(at + 10 + REDIAL_STEPS_MS[0], 2);
  });

  it('a wake without an interruption dials nothing', () => {
    const redial = new Redial(most);
    redial.wake(0);
    expect(drain(redial, 1000)).toEqual([]);
    expect(redial.deadline).toBeUndefined();
  });

  it('turns between the owner and the original URL with each failure, when the owner has a name', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', true);
    const { dials } = run(redial, 6000, 10);
    expect(dials.slice(0, 4).map(({ target }) => target)).toEqual(['owner', 'original', 'owner', 'original']);
    const nameless = new Redial(most);
    nameless.begin(0, 60_000, 'owner', false);
    expect(new Set(run(nameless, 6000, 10).dials.map(({ target }) => target))).toEqual(new Set(['original']));
  });

  it('dials nothing beside a session that stands, and goes on when that one fails', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', false);
    run(redial, 10_000, undefined);
    redial.standing(1);
    expect(drain(redial, 10_010)).toEqual([
      { type: 'abandon', id: 0 },
      { type: 'abandon', id: 2 },
    ]);
    expect(redial.deadline).toBeUndefined();
    expect(drain(redial, 70_000)).toEqual([]);
    redial.failed(1, 12_000);
    expect(redial.deadline).toBeGreaterThan(12_000);
    expect(drain(redial, redial.deadline!)).toMatchObject([{ type: 'dial' }]);
  });

  it('is over when a session carries the call: the winner is not abandoned, the others are', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', false);
    run(redial, 2000, undefined);
    redial.standing(1);
    redial.attached(2500);
    expect(drain(redial, 2500)).toEqual([{ type: 'abandon', id: 0 }]);
    expect(redial.active).toBe(false);
    redial.failed(1, 3000);
    expect(drain(redial, 9000)).toEqual([]);
  });

  it('abandons all dials when the old session comes to life', () => {
    const redial = new Redial(most);
    redial.begin(0, 60_000, 'owner', false);
    run(redial, 2000, undefined);
    redial.cancel();
    expect(drain(redial, 2000)).toEqual([
      { type: 'abandon', id: 0 },
      { type: 'abandon', id: 1 },
    ]);
    redial.failed(0, 2100);
    expect(drain(redial, 5000)).toEqual([]);
  });

  it('a backend that takes the call and ends each session at once is dialled in growing steps, and given up in time', () => {
    const redial = new Redial(most);
    const dials: number[] = [];
    let gaveUp = false;
    redial.attached(0);
    redial.begin(0, 20_000, 'owner', false, true);
    for (let now = 0; now < 60_000 && !gaveUp; now += 10) {
      for (const step of drain(redial, now)) {
        if (step.type === 'give_up') gaveUp = true;
        if (step.type !== 'dial') continue;
        dials.push(now);
        redial.standing(step.id);
        redial.attached(now);
        redial.begin(now, 20_000, 'owner', false, true);
      }
    }
    expect(gaveUp).toBe(true);
    expect(dials.length).toBeLessThan(12);
  });
});
