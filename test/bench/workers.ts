import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import { parseAddress, toHex } from '../../proto/wire/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { readArguments } from '../support/arguments.ts';
import { Process } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { Child } from './child.ts';
import { print, table } from './table.ts';
import { ROUTING_KEY } from './tunnel.ts';

const USAGE = `usage: npm run bench:workers -- [--calls 60] [--seconds 10] [--warm-up 20] [--runs 3]

Calls that one worker carries, and two.

  --calls 60      per worker
  --seconds 10    of each run
  --warm-up 20    seconds of speech before it counts
  --runs 3        of each; the best is shown`;

/**
 * How much more two workers of one backend carry than one. Each has as many calls as the one alone had; what a worker costs is its own CPU
 * time, as the system counts it, so that callers and upstream on the same cores do not count.
 */

/** 20 ms of PCM16 at 24 kHz. */
const FRAME_OCTETS = 960;
const FRAME_MS = 20;
/** The kernel counts CPU time in these, in ms. */
const TICK_MS = 10;

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** CPU time that a process has used so far, in ms. */
function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Fields 14 and 15; the second one, the name, may hold spaces.
  const [user, system] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user! + system!) * TICK_MS;
}

interface Stage {
  readonly pids: readonly number[];
  readonly upstream: Child;
  readonly load: Child;
  close(): Promise<void>;
}

async function setStage(workers: number): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-workers-'));
  const { certificatePath: certificate, keyPath: key } = ensureDevelopmentCertificate(directory);
  const upstream = new Child('./calls-upstream.ts');
  const load = new Child('./calls-load.ts');
  const write = (name: string, content: ClusterFile | BackendConfigInput) => {
    const path = join(directory, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  };
  let backend: Process | undefined;
  const close = async () => {
    await Promise.all([upstream.stop(), load.stop(), backend?.kill()]);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const hex = (octets: number) => randomBytes(octets).toString('hex');
    const port = await upstream.ask<number>({ op: 'start', certificate, key });
    await upstream.ask({ op: 'echo', echo: true });
    const cluster = write('cluster.json', {
      quicLb: [
        { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
      ],
      routingKey: toHex(ROUTING_KEY),
      statelessResetKey: hex(32),
      backends: [{ name: 'bench', serverId: hex(8), tunnel: `127.0.0.1:${await freePort()}`, workers }],
      forwarders: ['127.0.0.1'],
    });
    const config = write('backend.json', {
      name: 'bench',
      cluster,
      certificate,
      key,
      upstream: { kind: 'local', baseUrl: `https://localhost:${port}/v1`, ca: certificate },
      sessionsPerAddress: 10_000,
      maxSessions: 10_000,
    });
    backend = new Process('server/main.ts', ['--config', config, '--workers', String(workers)]);
    await backend.start();
    const lines = (text: string) => backend!.log.filter((line) => line.includes(text));
    for (let i = 0; i < 600 && lines('"all workers are ready"').length === 0; i++) await wait(50);
    const said = <Value>(text: string, field: string) =>
      lines(text).map((line) => (JSON.parse(line) as Record<string, Value>)[field]!);
    const pids = said<number>('"worker is ready"', 'pid');
    const tunnels = said<string>('"msg":"ready"', 'tunnel').map((tunnel) => parseAddress(tunnel)!);
    if (pids.length !== workers || tunnels.length !== workers)
      throw new Error(`${pids.length} workers came up, not ${workers}:\n${backend.log.join('\n')}`);
    await load.ask({ op: 'start', tunnels, path: '/voice', codec: 'pcm16' });
    return { pids, upstream, load, close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Run {
  readonly workers: number;
  readonly calls: number;
  readonly frames: number;
  readonly elapsedMs: number;
  readonly cpuMs: readonly number[];
}

async function runCalls(
  workers: number,
  calls: number,
  seconds: number,
  warmUpSeconds: number,
): Promise<Run> {
  const stage = await setStage(workers);
  try {
    const { pids, upstream, load } = stage;
    await load.ask({ op: 'open', count: calls });
    await load.ask({ op: 'speak' });
    await wait(warmUpSeconds * 1000);
    await upstream.ask({ op: 'heard' });
    const before = pids.map(cpuMs);
    const from = performance.now();
    await wait(seconds * 1000);
    const used = pids.map((pid, i) => cpuMs(pid) - before[i]!);
    const elapsedMs = performance.now() - from;
    const frames = (await upstream.ask<number>({ op: 'heard' })) / FRAME_OCTETS;
    const { lost } = await load.ask<{ lost: number }>({ op: 'report' });
    if (lost > 0) throw new Error(`${lost} of ${calls} calls were lost`);
    return { workers, calls, frames, elapsedMs, cpuMs: used };
  } finally {
    await stage.close();
  }
}

/** Frames that this backend carries in a second until its busiest worker has used all of a core. */
const capacity = ({ frames, cpuMs }: Run) => (1000 * frames) / Math.max(...cpuMs);

function row(run: Run): string[] {
  const due = (run.calls * run.elapsedMs) / FRAME_MS;
  return [
    String(run.workers),
    String(run.calls),
    run.cpuMs.map((ms) => `${((100 * ms) / run.elapsedMs).toFixed(0)} %`).join(' + '),
    ((1000 * run.cpuMs.reduce((a, b) => a + b, 0)) / run.frames).toFixed(0),
    ((capacity(run) * FRAME_MS) / 1000).toFixed(0),
    (run.frames / due).toFixed(2),
  ];
}

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    {
      calls: { type: 'string', default: '60' },
      seconds: { type: 'string', default: '10' },
      'warm-up': { type: 'string', default: '20' },
      runs: { type: 'string', default: '3' },
    },
    { least: { calls: 1, seconds: 1, 'warm-up': 0, runs: 1 } },
  );
  const [calls, seconds, warmUp, runs] = [values.calls, values.seconds, values['warm-up'], values.runs].map(
    Number,
  ) as [number, number, number, number];
  const best = new Map<number, Run>();
  for (let i = 0; i < runs; i++)
    for (const workers of [1, 2]) {
      const run = await runCalls(workers, workers * calls, seconds, warmUp);
      const known = best.get(workers);
      if (known === undefined || capacity(run) > capacity(known)) best.set(workers, run);
    }
  const [one, two] = [best.get(1)!, best.get(2)!];
  print(
    `calls of 20 ms PCM both ways, best of ${runs} runs of ${seconds} s; load ${loadavg()[0]!.toFixed(1)}`,
  );
  print(
    table(
      ['workers', 'calls', 'core of each', 'µs/frame', 'calls until one core is full', 'frames of due'],
      [row(one), row(two)],
    ),
  );
  print(
    `two workers carry ${(capacity(two) / capacity(one)).toFixed(2)} times as much as one (1.8 is wanted)`,
  );
}

await main();
