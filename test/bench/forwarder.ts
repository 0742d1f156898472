import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArguments } from '../support/arguments.ts';
import { Child } from './child.ts';
import { median } from './figures.ts';
import type { Limit, LoadResult, Octets } from './forwarder-load.ts';
import {
  type Algorithm,
  CONFIGS,
  cpuSecondsOf,
  type Forwarder,
  hasTaskset,
  loops,
  nginxes,
  ours,
} from './forwarders.ts';
import { readCosts } from './profile.ts';
import { costTable, print, table } from './table.ts';

const USAGE = `usage: npm run bench:forwarder -- [--packets 200000] [--rounds 3] [--workers 1] [--profile]

Packets that a forwarder moves per second of CPU, beside nginx's stream proxy and a loop in C, in turn, each on a core of its own.

  --packets 200000  of each case and round
  --rounds 3        of every forwarder; medians are shown
  --workers 1       of each forwarder; several numbers with commas make a table each
  --profile         also the dearest functions`;

/**
 * Packets that a forwarder moves, on a core of its own, beside nginx's stream proxy and a loop in C on the same core; with more
 * workers on the others too, where what counts is the CPU time of a packet. The forwarders take turns, so that each meets the same
 * machine; figures are medians over the rounds. Linux only.
 */

/** A forwarder that is too slow for its packets is stopped at this. */
const MAX_RUN_MS = 10_000;
const WARM_UP: Limit = { packets: 50_000, ms: 3000 };
/** Before its first case a forwarder in JavaScript has its code compiled: on its own core, so that this would count. */
const WARM_UP_AFTER_START: Limit = { packets: 1_000_000, ms: 1500 };

interface Case {
  readonly name: string;
  readonly direction: 'up' | 'down';
  readonly octets: Octets;
  readonly algorithm: Algorithm;
}

const CASES: readonly Case[] = [
  { name: 'client to backend, 200 octets', direction: 'up', octets: 200, algorithm: 'single' },
  { name: 'client to backend, 1200 octets', direction: 'up', octets: 1200, algorithm: 'single' },
  { name: 'client to backend, 60 to 1200 octets', direction: 'up', octets: 'mixed', algorithm: 'single' },
  { name: 'backend to client, 200 octets', direction: 'down', octets: 200, algorithm: 'single' },
  { name: 'backend to client, 1200 octets', direction: 'down', octets: 1200, algorithm: 'single' },
  { name: 'backend to client, 60 to 1200 octets', direction: 'down', octets: 'mixed', algorithm: 'single' },
];
/** The other two algorithms, where the first case shows what they cost. */
const ALGORITHM_CASES: readonly Case[] = [
  { name: 'as the first, CIDs in plaintext', direction: 'up', octets: 200, algorithm: 'plain' },
  { name: 'as the first, four AES passes', direction: 'up', octets: 200, algorithm: 'four' },
];

interface Figures extends LoadResult {
  readonly cpuSeconds: number;
}

const perCore = ({ arrived, cpuSeconds }: Figures) => arrived / cpuSeconds;

async function measure(load: Child, pid: number, one: Case, limit: Limit): Promise<Figures> {
  const { direction: op, octets } = one;
  const request = { op, octets, ...CONFIGS[one.algorithm] };
  await load.ask<LoadResult>({ ...request, limit: WARM_UP });
  const cpu = cpuSecondsOf(pid);
  const result = await load.ask<LoadResult>({ ...request, limit });
  return { ...result, cpuSeconds: cpuSecondsOf(pid) - cpu };
}

/** Which cores are whose: the load's, and those of the forwarder as `taskset` takes them. */
interface Cores {
  readonly load: number;
  readonly forwarder: string;
}

/** All cases with one forwarder, started for them. */
async function round(forwarder: Forwarder, limit: Limit, cores: Cores | undefined) {
  const load = new Child('./forwarder-load.ts');
  try {
    const backendPort = await load.ask<number>({ op: 'open', core: cores?.load });
    const running = await forwarder.start(backendPort, cores?.forwarder);
    try {
      await load.ask({ op: 'meet', port: running.port, ...CONFIGS.single });
      for (const op of ['up', 'down'])
        await load.ask({ op, octets: 'mixed', ...CONFIGS.single, limit: WARM_UP_AFTER_START });
      const figures = new Map<Case, Figures>();
      for (const one of forwarder.isOurs ? [...CASES, ...ALGORITHM_CASES] : CASES) {
        figures.set(one, await measure(load, running.pid, one, limit));
      }
      return figures;
    } finally {
      await running.stop();
    }
  } finally {
    await load.stop();
  }
}

type Round = ReadonlyMap<Case, Figures>;
type Rounds = Map<Forwarder, Round[]>;

/** Packets per second of CPU, by another forwarder's in the same round only: the machine may be another in the next. */
function ratioText(of: readonly Round[], to: readonly Round[] | undefined, one: Case): string {
  if (to === undefined || to === of) return '-';
  // A peer does not care how CIDs are made.
  const same = one.algorithm === 'single' ? one : (CASES[0] as Case);
  const ratios = of.map((figures, i) => perCore(figures.get(one)!) / perCore(to[i]!.get(same)!));
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
}

function rows(one: Case, rounds: Rounds, peers: readonly (readonly Round[])[]): string[][] {
  return [...rounds]
    .filter(([, results]) => results[0]?.has(one))
    .map(([forwarder, results]) => {
      const figures = results.map((result) => result.get(one)!);
      const of = (read: (figures: Figures) => number) => median(figures.map(read));
      return [
        `${one.name}: ${forwarder.name}`,
        Math.round(of((f) => (f.arrived / f.elapsedMs) * 1000)).toLocaleString('en'),
        `${Math.round(of((f) => (100_000 * f.cpuSeconds) / f.elapsedMs))} %`,
        of((f) => (1e6 * f.cpuSeconds) / f.arrived).toFixed(2),
        Math.round(of(perCore)).toLocaleString('en'),
        ...peers.map((peer) => ratioText(results, peer, one)),
        String(figures.reduce((sum, { lost }) => sum + lost, 0)),
      ];
    });
}

interface Options {
  readonly packets: number;
  readonly rounds: number;
  readonly profile: boolean;
}

function explain({ rounds, packets }: Options, workers: number, cores: Cores | undefined): string {
  const where = cores
    ? `the forwarder on core ${cores.forwarder}, both its ends on core ${cores.load}`
    : 'cores not pinned';
  const many = workers === 1 ? '' : `${workers} workers each; `;
  return [
    `UDP over loopback, 16 clients, short headers; ${many}${where}; at most 1024 packets under way; what arrives is not read; load ${loadavg()[0]!.toFixed(1)}.`,
    `Medians of ${rounds} rounds of ${packets} packets. Ratios are of packets per second of CPU, to each other one in the same round (least–most).`,
    'Neighbours of one size to one address leave as one message (UDP_SEGMENT) here, and of the C loop with segments: the rows of 200 and 1200 octets show that, those of 60 to 1200 do without.',
  ].join('\n');
}

function coresFor(workers: number): Cores | undefined {
  const cores = availableParallelism();
  if (!hasTaskset() || cores < 2) return undefined;
  // One worker has a core that is not the load's; more have all of them.
  return { load: 0, forwarder: workers === 1 ? '1' : `0-${cores - 1}` };
}

async function compare(workers: number, options: Options): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const { packets, rounds: count, profile } = options;
  const forwarders = [ours('batched', directory, profile, workers)];
  // Such sockets cannot share a port.
  if (workers === 1) forwarders.push(ours('dgram', directory, false, workers));
  const nginx = nginxes(directory, workers);
  if (nginx.length === 0) print('nginx with its stream module is not installed: no peer to compare with');
  const loop = loops(directory, workers);
  if (loop.length === 0) print('cc is not installed, or does not build the C loop: no loop to compare with');
  const peers = [...nginx, ...loop];
  const rounds: Rounds = new Map([...forwarders, ...peers].map((forwarder) => [forwarder, []]));
  const cores = coresFor(workers);
  const limit = { packets, ms: MAX_RUN_MS };
  try {
    for (let i = 0; i < count; i++) {
      for (const [forwarder, results] of rounds) {
        results.push(await round(forwarder, limit, cores));
        if (profile && forwarder === forwarders[0]) print(costTable('forwarder', readCosts(directory)));
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  print(explain(options, workers, cores));
  const toPeers = peers.map(({ name }) => `to ${name}`);
  const head = ['', 'packets/s', 'CPU', 'µs/packet', 'per core', ...toPeers, 'lost'];
  const results = peers.map((peer) => rounds.get(peer)!);
  print(
    table(
      head,
      [...CASES, ...ALGORITHM_CASES].flatMap((one) => rows(one, rounds, results)),
    ),
  );
}

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    {
      packets: { type: 'string', default: '200000' },
      rounds: { type: 'string', default: '3' },
      workers: { type: 'string', default: '1' },
      profile: { type: 'boolean', default: false },
    },
    { least: { packets: 1000, rounds: 1, workers: 1 } },
  );
  if (process.platform !== 'linux') throw new Error('This benchmark reads /proc: it runs on Linux only.');
  const { profile } = values;
  const options = { packets: Number(values.packets), rounds: Number(values.rounds), profile };
  for (const workers of values.workers.split(',').map(Number)) await compare(workers, options);
}

await main();
