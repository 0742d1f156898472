import { loadavg } from 'node:os';
import { readArguments } from '../support/arguments.ts';
import { Child } from './child.ts';
import { median } from './figures.ts';
import { cpuSecondsOf } from './forwarders.ts';
import { startQuinn } from './quinn.ts';
import { print, table } from './table.ts';

const USAGE = `usage: npm run bench:handshakes -- [--count 500] [--rounds 5]

CPU of a server for a full handshake (X25519, ECDSA P-256), beside quinn in Deno, with the same client.

  --count 500   handshakes in each round
  --rounds 5    of both servers, in turn`;

/**
 * `npm run bench:handshakes`: CPU time of a server for each full handshake, ours beside quinn's in Deno. The same client, ours, shakes
 * hands with one and the other in turn: X25519, ECDSA P-256, nothing resumed. Linux only.
 */

/** V8 goes on compiling what is hot for so many handshakes. */
const WARM_UP = 1500;

interface Server {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly micros: number[];
  stop(): Promise<void>;
}

async function startOurs(): Promise<Server> {
  const child = new Child('./bulk-part.ts');
  const port = await child.ask<number>({ op: 'serve' });
  return { name: 'parley', pid: child.pid, port, micros: [], stop: () => child.stop() };
}

function row({ name, micros }: Server, ours: Server): string[] {
  const ratios = micros.map((value, round) => value / ours.micros[round]!);
  return [
    name,
    median(micros).toFixed(0),
    `${Math.min(...micros).toFixed(0)}–${Math.max(...micros).toFixed(0)}`,
    (1e6 / median(micros)).toFixed(0),
    median(ratios).toFixed(2),
  ];
}

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    { count: { type: 'string', default: '500' }, rounds: { type: 'string', default: '5' } },
    { least: { count: 1, rounds: 1 } },
  );
  if (process.platform !== 'linux') throw new Error('This benchmark reads /proc: it runs on Linux only.');
  const [count, rounds] = [Number(values.count), Number(values.rounds)];
  const load = new Child('./handshake-load.ts');
  const servers: Server[] = [];
  try {
    const ours = await startOurs();
    servers.push(ours);
    const quinn = await startQuinn();
    if (quinn === undefined) print('Deno is not installed: no server to compare with');
    else servers.push({ name: 'quinn in Deno', ...quinn, micros: [] });
    const run = (port: number, handshakes: number) => load.ask({ op: 'handshakes', port, count: handshakes });
    for (const { port } of servers) await run(port, WARM_UP);
    for (let round = 0; round < rounds; round++)
      for (const { pid, port, micros } of servers) {
        const before = cpuSecondsOf(pid);
        await run(port, count);
        micros.push((1e6 * (cpuSecondsOf(pid) - before)) / count);
      }
    const head = ['', 'µs of CPU', 'least–most', 'per second of CPU', '× parley'];
    print(
      `full handshakes over loopback, the server's CPU time for each: median of ${rounds} rounds of ${count}, in turn; load ${loadavg()[0]!.toFixed(1)}`,
    );
    print(
      table(
        head,
        servers.map((server) => row(server, ours)),
      ),
    );
  } finally {
    await Promise.all([load, ...servers].map((part) => part.stop()));
  }
}

await main();
