import { describe, expect, it } from 'vitest';
import type { CallReport } from '../../chaos/callers.ts';
import type { RotationCount, RotationReport } from '../../chaos/rotation.ts';
import type { ChaosReport } from '../../chaos/run.ts';
import { reportText, shortcomings } from '../../chaos/table.ts';

const call = (change: Partial<CallReport> = {}): CallReport => ({
  tag: 1,
  sessions: ['session-1'],
  mutes: false,
  silenceMs: 300,
  lateMs: 100,
  saidSamples: 240_000,
  heardSamples: 120_000,
  lost: 0,
  doubled: 0,
  failure: undefined,
  faults: [],
  touches: [],
  ...change,
});

const counts = (old: number, next: number): RotationCount[] => [
  { forwarder: 'forwarder-0', old, next },
  { forwarder: 'forwarder-1', old: old + 1, next },
];

const rotation = (change: Partial<RotationReport> = {}): RotationReport => ({
  old: 0,
  next: 1,
  counts: { begun: counts(500, 0), moved: counts(520, 30), over: counts(520, 900) },
  movedMs: 700,
  leftToMove: 0,
  ...change,
});

const report = (change: Partial<ChaosReport> = {}): ChaosReport => ({
  calls: [call(), call({ tag: 2, mutes: true, silenceMs: 1400 })],
  upstreams: 2,
  foreign: 0,
  lag: { p99Ms: 20, maxMs: 40 },
  coreShare: 0.4,
  happened: [{ kind: 'backend replaced', at: 1000, tookMs: 2000 }],
  processes: [{ name: 'backend-1', before: 90, after: 120, coreShare: 0.25 }],
  rotations: [],
  silences: [],
  machine: { cores: 2, loadBefore: 0.5, loadAfter: 1.5, busyShare: 0.75 },
  ...change,
});

describe('what a run had to show', () => {
  it('is all there', () => {
    expect(shortcomings(report(), 'random')).toEqual([]);
    expect(shortcomings(report({ silences: [400, 999] }), 'rollout')).toEqual([]);
    expect(shortcomings(report({ rotations: [rotation()] }), 'rotation')).toEqual([]);
  });

  it('is not, for a call, or a sample of it, that was lost or came twice', () => {
    for (const change of [{ failure: 'gone' }, { lost: 1 }, { doubled: 1 }])
      expect(shortcomings(report({ calls: [call(change), call()] }), 'random')).toEqual([
        '1 calls were lost, or samples of them.',
      ]);
    expect(shortcomings(report({ foreign: 1 }), 'random')).toHaveLength(1);
  });

  it('is not, for more than a second without a sign in a rollout; the callers may have been late themselves', () => {
    expect(shortcomings(report({ silences: [400, 1300] }), 'rollout')).toEqual([
      'A call heard nothing for 1.3 s.',
    ]);
    expect(shortcomings(report({ silences: [400, 1300] }), 'random')).toEqual([]);
    const late = report({ silences: [1300], lag: { p99Ms: 300, maxMs: 900 } });
    expect(shortcomings(late, 'rollout')).toEqual([
      'A call heard nothing for 1.3 s, on a machine that had no time for the callers.',
    ]);
  });

  it('is not, when CIDs of the old rotation were used for more than a minute, stayed, or came back', () => {
    const found = (change: Partial<RotationReport>) =>
      shortcomings(report({ rotations: [rotation(change)] }), 'rotation');
    expect(found({ movedMs: 60_500 })).toEqual(['CIDs of rotation 0 were used for 60.5 s.']);
    expect(found({ leftToMove: 3 })).toEqual(['3 connections kept CIDs of rotation 0.']);
    const late = { begun: counts(500, 0), moved: counts(520, 30), over: counts(521, 900) };
    expect(found({ counts: late })).toEqual(['Packets of rotation 0 came after all CIDs had moved.']);
  });
});

it('the report has whose CPU time it was, and the packets of either rotation by forwarder', () => {
  const text = reportText(report({ rotations: [rotation()], silences: [400, 900] }));
  expect(text).toMatch(/busy, of 2 cores +75 %/);
  expect(text).toMatch(/backend-1 +90 +120 +25 %/);
  expect(text).toMatch(/forwarder-1, at the end +521 +900/);
  expect(text).toMatch(/the same, while it was done, s +0\.9 \/ 0\.9 \/ 0\.9/);
});
