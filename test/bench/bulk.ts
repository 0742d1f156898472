import { parseArgs } from 'node:util';
import type { QuicStats } from '../../proto/quic/index.ts';
import { Child, type Measured } from './child.ts';
import { costTable, print, table } from './table.ts';

const MEBIBYTE = 1024 * 1024;

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
    // The first megabytes let the compiler of the engine see what is hot; they are not counted.
    await asking.ask({ op: 'download', port, octets: 8 * MEBIBYTE });
    await serving.ask({ op: 'meter', profile });
    const client = await asking.ask<End>({ op: 'download', port, octets, profile });
    const server = await serving.ask<End>({ op: 'measured' });
    return { server, client };
  } finally {
    await Promise.all([serving.stop(), asking.stop()]);
  }
}

const mbits = (octets: number, ms: number) => (octets * 8) / 1000 / ms;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      mebibytes: { type: 'string', default: '50' },
      runs: { type: 'string', default: '3' },
      profile: { type: 'boolean', default: false },
    },
  });
  const octets = Number(values.mebibytes) * MEBIBYTE;
  const runs: Run[] = [];
  for (let i = 0; i < Number(values.runs); i++) runs.push(await runOnce(octets, values.profile));
  const best = runs.reduce((a, b) => (b.client.elapsedMs < a.client.elapsedMs ? b : a));
  const { server, client } = best;
  const rows = [
    ['Mbit/s', mbits(octets, client.elapsedMs).toFixed(0), mbits(octets, client.elapsedMs).toFixed(0)],
    ['CPU ms', (server.cpuMicros / 1000).toFixed(0), (client.cpuMicros / 1000).toFixed(0)],
    ['packets sent', String(server.stats.packetsSent), String(client.stats.packetsSent)],
    ['packets received', String(server.stats.packetsReceived), String(client.stats.packetsReceived)],
    ['packets lost', String(server.stats.packetsLost), String(client.stats.packetsLost)],
    [
      'CPU µs per data packet',
      (server.cpuMicros / server.stats.packetsSent).toFixed(1),
      (client.cpuMicros / client.stats.packetsReceived).toFixed(1),
    ],
  ];
  print(`one stream of ${values.mebibytes} MiB over loopback, best of ${values.runs} runs`);
  print(table(['', 'out (server)', 'in (client)'], rows));
  if (values.profile) {
    print(`\n${costTable('server, sending', server.costs)}`);
    print(`\n${costTable('client, receiving', client.costs)}`);
  }
}

await main();
