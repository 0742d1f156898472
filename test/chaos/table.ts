import { table } from '../bench/table.ts';
import type { CallReport } from './callers.ts';
import type { ChaosReport } from './run.ts';

const SAMPLES_PER_S = 24_000;
/** Event-loop delay of the callers above which their own figures say more of this machine than of the cluster, in ms. */
const STARVED_MS = 250;

const seconds = (ms: number) => (ms / 1000).toFixed(1);

/** Value below which this share of them is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const sum = (calls: readonly CallReport[], pick: (call: CallReport) => number) =>
  calls.reduce((total, call) => total + pick(call), 0);

/** Whether the callers' own process was late, so that silences are partly its own. */
export function starved({ lag }: Pick<ChaosReport, 'lag'>): boolean {
  return lag.maxMs > STARVED_MS;
}

function eventTable({ happened, calls }: ChaosReport): string {
  const ordered = [...happened].sort((a, b) => a.at - b.at);
  const touched = new Map<string, Set<string>>();
  for (const { tag, touches } of calls)
    for (const { at } of touches) {
      const event = ordered.findLast((one) => one.at <= at);
      if (event === undefined) continue;
      const set = touched.get(event.kind) ?? new Set();
      touched.set(event.kind, set.add(`${event.at} ${tag}`));
    }
  const kinds = [...new Set(ordered.map(({ kind }) => kind))].sort();
  const rows = kinds.map((kind) => {
    const all = ordered.filter((one) => one.kind === kind);
    const longest = Math.max(...all.map(({ tookMs }) => tookMs));
    return [kind, String(all.length), String(touched.get(kind)?.size ?? 0), seconds(longest)];
  });
  return table(['event', 'times', 'calls touched', 'longest, s'], rows);
}

function summaryRows(report: ChaosReport): string[][] {
  const { calls, lag, coreShare, movedMs } = report;
  const three = (pick: (call: CallReport) => number) => {
    const all = calls.map(pick);
    return [0.5, 0.95, 1].map((share) => seconds(quantile(all, share))).join(' / ');
  };
  return [
    ['calls', String(calls.length)],
    ['calls lost', String(calls.filter(({ failure }) => failure !== undefined).length)],
    ['samples lost', String(sum(calls, ({ lost }) => lost))],
    ['samples doubled', String(sum(calls, ({ doubled }) => doubled))],
    ['longest silence of a call, p50 / p95 / max, s', three(({ silenceMs }) => silenceMs)],
    ['longest wait of a sample for its upstream, s', three(({ lateMs }) => lateMs)],
    ['said, s', (sum(calls, ({ saidSamples }) => saidSamples) / SAMPLES_PER_S).toFixed(0)],
    ['heard, s', (sum(calls, ({ heardSamples }) => heardSamples) / SAMPLES_PER_S).toFixed(0)],
    ['sessions', String(sum(calls, ({ sessions }) => sessions.length))],
    ['upstreams', String(report.upstreams)],
    ...(movedMs.length === 0
      ? []
      : [['CIDs of the old rotation gone after, longest, s', seconds(Math.max(...movedMs))]]),
    ['callers: late by, p99 / max, ms', `${lag.p99Ms.toFixed(0)} / ${lag.maxMs.toFixed(0)}`],
    ['callers: share of a core', `${(100 * coreShare).toFixed(0)} %`],
  ];
}

/** The whole report as text. */
export function reportText(report: ChaosReport): string {
  const memory = report.memory.map(({ name, before, after }) => [name, before.toFixed(0), after.toFixed(0)]);
  const bad = report.calls.filter(({ failure, faults }) => failure !== undefined || faults.length > 0);
  const told = bad.flatMap(({ tag, sessions, failure, faults }) => [
    `call ${tag} (${sessions.join(', ')}): ${failure ?? 'went on'}`,
    ...faults.map((fault) => `  ${fault}`),
  ]);
  return [
    eventTable(report),
    'A call counts as touched by the event that began last before it changed its session or its upstream.',
    '',
    table(['calls', ''], summaryRows(report)),
    '',
    table(['resident memory, MiB', 'before', 'after'], memory),
    ...(starved(report)
      ? [
          '',
          'The callers were starved: this machine had no time for them, and silences are partly their own.',
        ]
      : []),
    ...(told.length > 0 ? ['', ...told] : []),
  ].join('\n');
}
