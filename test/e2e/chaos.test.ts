import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHAOS_KINDS, drawSchedule } from '../chaos/plan.ts';
import { Chaos } from '../chaos/run.ts';
import { quantile, reportText, shortcomings, starved } from '../chaos/table.ts';

/** `npm run chaos` in little: the same processes, callers and checks, for two minutes in all. */

const CALLS = 8;
const RANDOM_MS = 45_000;
/** The bound that the project sets itself for a rollout. */
const SILENCE_MS = 1000;

let chaos: Chaos;
beforeAll(async () => {
  chaos = new Chaos({
    seed: 11,
    calls: CALLS,
    runMs: RANDOM_MS,
    backends: 3,
    forwarders: 2,
    loss: 0.01,
    frameMs: 40,
  });
  await chaos.open();
}, 120_000);
afterAll(() => chaos?.close());

let silences: readonly number[] = [];

it('replaces every process of a cluster, three backends and two forwarders, under calls', async () => {
  silences = await chaos.watch(() => chaos.rollOut());
}, 180_000);

it('goes through a rotation under them', async () => {
  await chaos.do('config rotated', () => chaos.rotate());
}, 90_000);

it('kills, stops, drains, cuts and ends, as the seed says', async () => {
  await chaos.runSchedule();
}, 120_000);

it('and no call is lost, no sample lost or doubled', async () => {
  const report = await chaos.finish();
  const text = reportText(report);
  expect(report.calls, text).toHaveLength(CALLS);
  for (const { failure, lost, doubled } of report.calls)
    expect({ failure, lost, doubled }, text).toEqual({ failure: undefined, lost: 0, doubled: 0 });
  expect(shortcomings(report, 'random')).toEqual([]);
  // What it looked at was there: words both ways, and calls that changed their backend more than once.
  for (const { saidSamples, heardSamples } of report.calls) {
    expect(saidSamples).toBeGreaterThan(24_000 * 20);
    expect(heardSamples).toBeGreaterThan(24_000);
  }
  expect(report.calls.reduce((sum, { sessions }) => sum + sessions.length, 0)).toBeGreaterThan(2 * CALLS);
  expect(report.rotations.length).toBeGreaterThan(0);
  const [{ counts }] = report.rotations as [(typeof report.rotations)[number]];
  for (const when of ['begun', 'moved'] as const) expect(counts[when].length).toBeGreaterThan(1);
  // Where callers themselves did not run, a silence is none of the cluster's.
  const spareMs = starved(report) ? report.lag.maxMs * 4 : 0;
  expect(quantile(silences, 1), text).toBeLessThan(SILENCE_MS + spareMs);
}, 120_000);

it('a seed gives the same schedule again, with every kind of event in it before any comes twice', () => {
  const schedule = drawSchedule(4, 600_000);
  expect(drawSchedule(4, 600_000)).toEqual(schedule);
  expect(drawSchedule(5, 600_000)).not.toEqual(schedule);
  expect(new Set(schedule.slice(0, CHAOS_KINDS.length).map(({ kind }) => kind))).toEqual(
    new Set(CHAOS_KINDS),
  );
  expect(schedule.length).toBeGreaterThan(100);
  expect(schedule.every(({ atMs }, i) => atMs < 600_000 && atMs >= (schedule[i - 1]?.atMs ?? 0))).toBe(true);
});
