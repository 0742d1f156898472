import { table } from '../bench/table.ts';
import type { CallReport } from './callers.ts';
import type { RotationReport } from './rotation.ts';
import type { ChaosReport } from './run.ts';

const SAMPLES_PER_S = 24_000;
/** Event-loop delay of the callers above which their own figures say more of this machine than of the cluster, in ms. */
const STARVED_MS = 250;
/** Longest silence of a call while every process of its cluster is replaced, in ms. */
const SILENCE_MS = 1000;
/** Time for all CIDs of running connections to be those of a new rotation, in ms. */
const MOVED_MS = 60_000;

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
  const { calls, rotations, silences } = report;
  const threeOf = (values: readonly number[]) =>
    [0.5, 0.95, 1].map((share) => seconds(quantile(values, share))).join(' / ');
  const three = (pick: (call: CallReport) => number) => threeOf(calls.map(pick));
  return [
    ['calls', String(calls.length)],
    ['muted in pauses', String(calls.filter(({ mutes }) => mutes).length)],
    ['calls lost', String(calls.filter(({ failure }) => failure !== undefined).length)],
    ['samples lost', String(sum(calls, ({ lost }) => lost))],
    ['samples doubled', String(sum(calls, ({ doubled }) => doubled))],
    ...[false, true].flatMap((muted) => {
      const values = calls.filter(({ mutes }) => mutes === muted).map(({ silenceMs }) => silenceMs);
      const who = muted ? 'that mutes, while it does not' : 'with an open microphone';
      return values.length === 0
        ? []
        : [[`longest silence of a call ${who}, p50 / p95 / max, s`, threeOf(values)]];
    }),
    ...(silences.length === 0 ? [] : [['the same, while it was done, s', threeOf(silences)]]),
    ['longest wait of a sample for its upstream, s', three(({ lateMs }) => lateMs)],
    ['said, s', (sum(calls, ({ saidSamples }) => saidSamples) / SAMPLES_PER_S).toFixed(0)],
    ['heard, s', (sum(calls, ({ heardSamples }) => heardSamples) / SAMPLES_PER_S).toFixed(0)],
    ['sessions', String(sum(calls, ({ sessions }) => sessions.length))],
    ['upstreams', String(report.upstreams)],
    ...(rotations.length === 0
      ? []
      : [
          [
            'CIDs of the old rotation gone after, longest, s',
            seconds(Math.max(...rotations.map(({ movedMs }) => movedMs))),
          ],
        ]),
  ];
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

/** Whose CPU time it was, and whether there was enough. */
function machineRows({ lag, coreShare, machine }: ChaosReport): string[][] {
  const { cores, loadBefore, loadAfter, busyShare } = machine;
  return [
    [`busy, of ${cores} cores`, busyShare === undefined ? '–' : percent(busyShare)],
    ['load average, before / after', `${loadBefore.toFixed(1)} / ${loadAfter.toFixed(1)}`],
    ['callers, networks and upstreams: share of a core', percent(coreShare)],
    ['callers: late by, p99 / max, ms', `${lag.p99Ms.toFixed(0)} / ${lag.maxMs.toFixed(0)}`],
  ];
}

/** Packets by rotation, as each forwarder counted them: the old one's stand still once all CIDs have moved. */
function rotationTable({ old, next, counts, movedMs, leftToMove }: RotationReport): string {
  const moments = [
    [`when ${next} is issued`, counts.begun],
    [`after ${seconds(movedMs)} s`, counts.moved],
    ['at the end', counts.over],
  ] as const;
  const rows = moments.flatMap(([when, all]) =>
    all.map((count) => [`${count.forwarder}, ${when}`, String(count.old), String(count.next)]),
  );
  return `${table(['packets of rotation', String(old), String(next)], rows)}
connections left to move, as backends say: ${leftToMove}`;
}

/** What a run had to show and did not, a sentence each. */
export function shortcomings(report: ChaosReport, schedule: string): string[] {
  const { calls, silences, rotations, foreign } = report;
  const found: string[] = [];
  const bad = calls.filter(({ failure, lost, doubled }) => failure !== undefined || lost + doubled > 0);
  if (bad.length > 0) found.push(`${bad.length} calls were lost, or samples of them.`);
  if (foreign > 0) found.push(`${foreign} upstreams heard audio of no caller.`);
  const longestMs = Math.max(0, ...silences);
  if (schedule === 'rollout' && longestMs > SILENCE_MS)
    found.push(
      `A call heard nothing for ${seconds(longestMs)} s${starved(report) ? ', on a machine that had no time for the callers' : ''}.`,
    );
  for (const { old, counts, movedMs, leftToMove } of rotations) {
    if (movedMs > MOVED_MS) found.push(`CIDs of rotation ${old} were used for ${seconds(movedMs)} s.`);
    // Otherwise a network may be cut meanwhile, and a rotation's number come again.
    if (schedule !== 'rotation') continue;
    const packets = (all: typeof counts.moved) => all.reduce((sum, count) => sum + count.old, 0);
    if (leftToMove > 0) found.push(`${leftToMove} connections kept CIDs of rotation ${old}.`);
    if (packets(counts.over) > packets(counts.moved))
      found.push(`Packets of rotation ${old} came after all CIDs had moved.`);
  }
  return found;
}

/** What happened to the call whose audio waited longest, among what was done. */
function slowest({ calls, happened }: ChaosReport): string[] {
  const call = [...calls].sort((a, b) => b.lateMs - a.lateMs)[0];
  const from = Math.min(...happened.map(({ at }) => at));
  if (call === undefined || happened.length === 0) return [];
  const lines = [
    ...happened.map(({ at, kind, tookMs }) => ({ at, text: `${kind} (${seconds(tookMs)} s)` })),
    ...call.touches.map(({ at, what }) => ({ at, text: `  call ${call.tag}: ${what}` })),
  ];
  lines.sort((a, b) => a.at - b.at);
  return [
    `call ${call.tag}, whose audio waited longest, among what was done:`,
    ...lines.map(({ at, text }) => `${seconds(at - from).padStart(7)} s  ${text}`),
  ];
}

/** The whole report as text. */
export function reportText(report: ChaosReport): string {
  const processes = report.processes.map(({ name, before, after, coreShare }) => [
    name,
    before.toFixed(0),
    after.toFixed(0),
    percent(coreShare),
  ]);
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
    ...report.rotations.flatMap((rotation) => [rotationTable(rotation), '']),
    table(['this machine', ''], machineRows(report)),
    '',
    table(['worker of', 'MiB before', 'MiB after', 'of a core'], processes),
    '',
    ...slowest(report),
    ...(starved(report)
      ? [
          '',
          'The callers were starved: this machine had no time for them, and silences are partly their own.',
        ]
      : []),
    ...(told.length > 0 ? ['', ...told] : []),
  ].join('\n');
}
