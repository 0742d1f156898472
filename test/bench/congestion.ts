import type { CongestionControl } from '../../proto/quic/recovery/index.ts';
import { Flows } from '../support/recovery-flows.ts';
import { print, table } from './table.ts';

/** What CUBIC and BBR make of random loss, and of each other: simulated, by the recovery that ships. */

const LOSSES = [0, 0.01, 0.05, 0.1, 0.2, 0.3];
const SEEDS = [1, 2, 3];
const ROUND_TRIP_MS = 100;

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function goodput(control: CongestionControl, lossRate: number, rateKbps: number): string {
  const rates = SEEDS.map((seed) => {
    const flows = new Flows({ controls: [control], rateKbps, roundTripMs: ROUND_TRIP_MS, lossRate, seed });
    return flows.measure(2000, 42_000)[0]!.kbps;
  });
  return `${Math.round(median(rates))}`;
}

for (const rateKbps of [2000, 20_000]) {
  const rows = LOSSES.map((loss) => [
    `${loss * 100} %`,
    ...(['cubic', 'bbr'] as const).map((control) => goodput(control, loss, rateKbps)),
  ]);
  print(
    `Goodput in kbit/s of one bulk flow, ${rateKbps} kbit/s, ${ROUND_TRIP_MS} ms, loss each way, 40 s, median of 3`,
  );
  print(`${table(['lost', 'cubic', 'bbr'], rows)}\n`);
}

const MIXES: readonly (readonly CongestionControl[])[] = [
  ['bbr', 'cubic'],
  ['cubic', 'bbr'],
  ['bbr', 'bbr'],
  ['bbr', 'bbr', 'cubic', 'cubic'],
  ['cubic', 'cubic', 'bbr', 'bbr', 'cubic', 'cubic', 'bbr', 'bbr'],
  ['bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr'],
];
const rows: string[][] = [];
for (const bdps of [1, 2, 4])
  for (const controls of MIXES) {
    const rateKbps = 10_000;
    const queueOctets = (bdps * rateKbps * ROUND_TRIP_MS) / 8;
    const flows = new Flows({ controls, rateKbps, roundTripMs: ROUND_TRIP_MS, queueOctets });
    const results = flows.measure(20_000, 80_000);
    const fair = results.reduce((sum, { kbps }) => sum + kbps, 0) / results.length;
    rows.push([
      `${bdps}`,
      controls.join(' '),
      results.map(({ kbps }) => (kbps / fair).toFixed(2)).join(' '),
      `${Math.round((fair * results.length) / 100)} %`,
      `${Math.round(flows.longestQueueMs)}`,
    ]);
  }
print('Shares of 10 Mbit/s, 100 ms, 60 s behind the first 20; 1 is fair');
print(table(['queue in BDP', 'flows', 'shares', 'used', 'queue ms'], rows));
