import type { QuicStats } from '../../proto/quic/index.ts';
import { readArguments } from '../support/arguments.ts';
import { Child, type Measured } from './child.ts';
import { type QuinnRun, runQuinn } from './quinn.ts';
import { costTable, print, table } from './table.ts';

const USAGE = `usage: npm run bench:bulk -- [--mebibytes 50] [--runs 3] [--profile]

One stream over loopback, sender and receiver in a process each, beside quinn in Deno. Throughput and CPU per packet of the best run.

  --mebibytes 50   of the stream
  --runs 3         of both
  --profile        also the dearest functions`;

const MEBIBYTE = 1024 * 1024;
const WARM_UP_OCTETS = 64 * MEBIBYTE;

interface End extends Measured {
  readonly stats: QuicStats;
}

interface Run {
  readonly server: End;
  readonly client: End;
}

async function runOnce(octets: number, profile: boolean): Promise<Run> {
  const serving = new Child('./bulk-part.ts');
  const asking = new Child('./bulk-part.ts');
  try {
    const port = await serving.ask<number>({ op: 'serve' });
    // Not counted: V8 goes on compiling what is hot for tens of thousands of packets.
    await asking.ask({ op: 'download', port, octets: WARM_UP_OCTETS });
    await serving.ask({ op: 'meter', profile });
    const client = await asking.ask<End>({ op: 'download', port, octets, profile });
    const server = await serving.ask<End>({ op: 'measured' });
    return { server, client };
  } finally {
    await Promise.all([serving.stop(), asking.stop()]);
  }
}

const mbits = (octets: number, ms: number) => (octets * 8) / 1000 / ms;

const HEAD = [
  '',
  'Mbit/s',
  'CPU ms out',
  'CPU ms in',
  'packets',
  'ACK packets',
  'lost',
  'µs/packet out',
  'µs/packet in',
  'ratio',
];

function rowsOf(octets: number, { server, client }: Run, peer: QuinnRun | undefined): string[][] {
  const speed = mbits(octets, client.elapsedMs);
  const ours = [
    'parley, both ends',
    speed.toFixed(0),
    (server.cpuMicros / 1000).toFixed(0),
    (client.cpuMicros / 1000).toFixed(0),
    String(server.stats.packetsSent),
    String(client.stats.packetsSent),
    String(server.stats.packetsLost),
    (server.cpuMicros / server.stats.packetsSent).toFixed(1),
    (client.cpuMicros / client.stats.packetsReceived).toFixed(1),
  ];
  if (peer === undefined) return [[...ours, '-']];
  const theirs = mbits(octets, peer.elapsedMs);
  const { serverCpuMicros, clientCpuMicros } = peer;
  const cpu = [(serverCpuMicros / 1000).toFixed(0), (clientCpuMicros / 1000).toFixed(0)];
  return [
    [...ours, (speed / theirs).toFixed(2)],
    ['quinn in Deno, both ends', theirs.toFixed(0), ...cpu, '-', '-', '-', '-', '-', '1.00'],
  ];
}

function fastestQuinn(runs: readonly QuinnRun[]): QuinnRun | undefined {
  return runs.length === 0 ? undefined : runs.reduce((a, b) => (b.elapsedMs < a.elapsedMs ? b : a));
}

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    {
      mebibytes: { type: 'string', default: '50' },
      runs: { type: 'string', default: '3' },
      profile: { type: 'boolean', default: false },
    },
    { least: { mebibytes: 1, runs: 1 } },
  );
  const octets = Number(values.mebibytes) * MEBIBYTE;
  const runs: Run[] = [];
  const quinn: QuinnRun[] = [];
  for (let i = 0; i < Number(values.runs); i++) {
    runs.push(await runOnce(octets, values.profile));
    const peer = await runQuinn(octets);
    if (peer !== undefined) quinn.push(peer);
  }
  const best = runs.reduce((a, b) => (b.client.elapsedMs < a.client.elapsedMs ? b : a));
  const { server, client } = best;
  print(`one stream of ${values.mebibytes} MiB over loopback, two processes, best of ${values.runs} runs`);
  print(table(HEAD, rowsOf(octets, best, fastestQuinn(quinn))));
  if (values.profile) {
    print(`\n${costTable('server, sending', server.costs)}`);
    print(`\n${costTable('client, receiving', client.costs)}`);
  }
}

await main();
