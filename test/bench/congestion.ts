import type { CongestionControl } from '../../proto/quic/recovery/index.ts';
import { readArguments } from '../support/arguments.ts';
import { Flows } from '../support/recovery-flows.ts';
import { measurePeer, PEERS } from './congestion-peers.ts';
import { median } from './figures.ts';
import { print, table } from './table.ts';

const USAGE = `usage: npm run bench:congestion -- [--peers 20] [--simulated 1]

Goodput of CUBIC and BBR at loss, and how flows share a link: in the simulator, and against aioquic and quinn over network namespaces.

  --peers 20       seconds against each peer (root is needed); 0 leaves them out
  --simulated 1    0 leaves out all that is simulated`;

/**
 * What CUBIC and BBR make of random loss, and of each other: simulated, by the recovery that ships. Beside it the kernel's and quinn's, in real
 * time over network namespaces (root is needed); `--peers 0` leaves them out, `--simulated 0` all else.
 */

const values = readArguments(
  USAGE,
  {
    peers: { type: 'string', default: '20' },
    simulated: { type: 'string', default: '1' },
  },
  { least: { peers: 0, simulated: 0 } },
);

const LOSSES = [0, 0.01, 0.05, 0.1, 0.2, 0.3];
const SEEDS = [1, 2, 3];
const ROUND_TRIP_MS = 100;

function goodput(control: CongestionControl, lossRate: number, rateKbps: number): string {
  const rates = SEEDS.map((seed) => {
    const flows = new Flows({ controls: [control], rateKbps, roundTripMs: ROUND_TRIP_MS, lossRate, seed });
    return flows.measure(2000, 42_000)[0]!.kbps;
  });
  return `${Math.round(median(rates))}`;
}

function simulateGoodput(): void {
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
}

async function measurePeers(seconds: number): Promise<void> {
  const rateKbps = 2000;
  const rows: string[][] = [];
  for (const lossRate of LOSSES) {
    const run = { lossRate, rateKbps, roundTripMs: ROUND_TRIP_MS, seconds };
    rows.push([`${lossRate * 100} %`, ...(await Promise.all(PEERS.map((peer) => measurePeer(peer, run))))]);
  }
  print(`The same of others, ${rateKbps} kbit/s, in real time, ${seconds} s behind the first 2, one run`);
  print(`${table(['lost', ...PEERS.map(({ name }) => name)], rows)}\n`);
}

const MIXES: readonly (readonly CongestionControl[])[] = [
  ['bbr', 'cubic'],
  ['cubic', 'bbr'],
  ['bbr', 'bbr'],
  ['bbr', 'bbr', 'cubic', 'cubic'],
  ['cubic', 'cubic', 'bbr', 'bbr', 'cubic', 'cubic', 'bbr', 'bbr'],
  ['bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr', 'bbr'],
];
function simulateShares(): void {
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
}

if (values.simulated !== '0') simulateGoodput();
if (Number(values.peers) > 0) await measurePeers(Number(values.peers));
if (values.simulated !== '0') simulateShares();
