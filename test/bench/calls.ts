import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import { parseAddress, toHex } from '../../proto/wire/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { freeUdpPort } from '../support/cluster.ts';
import { Child, type Measured } from './child.ts';
import { costTable, print, table } from './table.ts';
import { ROUTING_KEY } from './tunnel.ts';

/**
 * Voice-shaped calls against one backend process: 20 ms of PCM from each caller, the same audio back from the upstream (or
 * nothing, while it listens), and the whole bridge in between. Backend, callers and upstream are processes of their own; only
 * the backend's CPU counts.
 */

const KIBIBYTE = 1024;
const FRAME_MS = 20;
/** 20 ms of PCM16 at 24 kHz. */
const FRAME_OCTETS = 960;
/**
 * Frames heard back before it counts, or so many seconds: a backend runs for days, and V8 goes on compiling what is hot for
 * tens of thousands of frames. After 3 s of 100 calls a quarter of the CPU time was still the compiler's.
 */
const WARM_UP_FRAMES = 60_000;
const WARM_UP_SECONDS = 30;
const WARM_UP_CALLS = 50;
const VOICE_PATH = '/voice';
const ECHO_PATH = '/echo';

type Codec = 'pcm16' | 'opus';

interface Memory {
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  readonly rss: number;
}

interface Report {
  readonly frames: number;
  readonly lost: number;
  readonly behind: number;
  /** As the backend sees them. */
  readonly datagramsIn: number;
  readonly datagramsOut: number;
  readonly medianMs: number;
  readonly p95Ms: number;
}

interface Stage {
  readonly upstream: Child;
  readonly backend: Child;
  readonly load: Child;
  close(): Promise<void>;
}

async function writeConfig(
  directory: string,
  files: { certificatePath: string; keyPath: string },
  upstreamPort: number,
): Promise<BackendConfigInput> {
  const hex = (octets: number) => randomBytes(octets).toString('hex');
  const cluster: ClusterFile = {
    quicLb: [
      { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
    ],
    routingKey: toHex(ROUTING_KEY),
    statelessResetKey: hex(32),
    backends: [{ name: 'bench', serverId: hex(8), tunnel: `127.0.0.1:${await freeUdpPort()}` }],
    forwarders: ['127.0.0.1'],
  };
  const path = join(directory, 'cluster.json');
  writeFileSync(path, JSON.stringify(cluster));
  return {
    name: 'bench',
    cluster: path,
    certificate: files.certificatePath,
    key: files.keyPath,
    upstream: {
      kind: 'local',
      baseUrl: `https://localhost:${upstreamPort}/v1`,
      ca: files.certificatePath,
    },
    voicePath: VOICE_PATH,
    echoPath: ECHO_PATH,
    sessionsPerAddress: 10_000,
    maxSessions: 10_000,
    logLevel: 'silent',
  };
}

async function setStage(path: string, echo = false, codec: Codec = 'pcm16'): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const files = ensureDevelopmentCertificate(directory);
  const upstream = new Child('./calls-upstream.ts');
  const backend = new Child('./calls-backend.ts', ['--expose-gc']);
  const load = new Child('./calls-load.ts');
  const close = async () => {
    await Promise.all([upstream, backend, load].map((child) => child.stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const { certificatePath: certificate, keyPath: key } = files;
    const port = await upstream.ask<number>({ op: 'start', certificate, key, echo });
    const config = await writeConfig(directory, files, port);
    const tunnel = await backend.ask<string>({ op: 'start', config });
    await load.ask({ op: 'start', tunnel: parseAddress(tunnel), path, codec });
    return { upstream, backend, load, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Frames that the upstream heard since it was last asked. */
const framesHeard = async (upstream: Child) => (await upstream.ask<number>({ op: 'heard' })) / FRAME_OCTETS;

async function warmUp(upstream: Child): Promise<void> {
  let frames = 0;
  for (let seconds = 0; seconds < WARM_UP_SECONDS && frames < WARM_UP_FRAMES; seconds++) {
    await wait(1000);
    frames += await framesHeard(upstream);
  }
}

interface CallOptions {
  readonly codec: Codec;
  readonly seconds: number;
  readonly profile: boolean;
}

async function runCalls(calls: number, echo: boolean, { codec, seconds, profile }: CallOptions) {
  const stage = await setStage(VOICE_PATH, echo, codec);
  try {
    const { upstream, backend, load } = stage;
    await load.ask({ op: 'open', count: calls });
    await load.ask({ op: 'speak' });
    await warmUp(upstream);
    await load.ask({ op: 'reset' });
    await framesHeard(upstream);
    await backend.ask({ op: 'meter', profile });
    await wait(seconds * 1000);
    const measured = await backend.ask<Measured>({ op: 'measured' });
    const heard = await framesHeard(upstream);
    const report = await load.ask<Report>({ op: 'report' });
    if (report.lost > 0) throw new Error(`${report.lost} of ${calls} calls were lost`);
    return { calls, echo, codec, measured, report, frames: echo ? report.frames : heard };
  } finally {
    await stage.close();
  }
}

type CallRun = Awaited<ReturnType<typeof runCalls>>;
const coreShare = ({ measured }: CallRun) => measured.cpuMicros / 1000 / measured.elapsedMs;
const microsPerFrame = ({ measured, frames }: CallRun) => measured.cpuMicros / frames;
/** By frames that went the whole way, not by calls that were open: a machine too busy to keep up must not look fast. */
const callsPerCore = (run: CallRun) => 1e6 / ((1000 / FRAME_MS) * microsPerFrame(run));

function callRow(run: CallRun): string[] {
  const { calls, echo, codec, measured, report, frames } = run;
  return [
    String(calls),
    codec,
    echo ? 'both ways' : 'microphone',
    `${(100 * coreShare(run)).toFixed(0)} %`,
    ((1000 * coreShare(run)) / calls).toFixed(2),
    microsPerFrame(run).toFixed(0),
    callsPerCore(run).toFixed(0),
    (frames / (measured.elapsedMs / FRAME_MS) / calls).toFixed(2),
    (report.datagramsIn / frames).toFixed(2),
    (report.datagramsOut / frames).toFixed(2),
    echo ? report.medianMs.toFixed(2) : '-',
    echo ? report.p95Ms.toFixed(2) : '-',
  ];
}

async function bestOf(runs: number, run: () => Promise<CallRun>): Promise<CallRun> {
  let best = await run();
  for (let i = 1; i < runs; i++) {
    const next = await run();
    if (microsPerFrame(next) < microsPerFrame(best)) best = next;
  }
  return best;
}

async function measureMemory(name: string, path: string, calls: number) {
  const stage = await setStage(path);
  try {
    const { backend, load } = stage;
    // The first calls load code and fill caches that all share.
    await load.ask({ op: 'open', count: WARM_UP_CALLS });
    await wait(2000);
    const before = await backend.ask<Memory>({ op: 'memory' });
    await load.ask({ op: 'open', count: calls });
    await wait(2000);
    const after = await backend.ask<Memory>({ op: 'memory' });
    const per = (pick: (memory: Memory) => number) =>
      `${((pick(after) - pick(before)) / calls / KIBIBYTE).toFixed(1)} KiB`;
    const all = (memory: Memory) => memory.heapUsed + memory.external;
    return [name, String(calls), per((m) => m.heapUsed), per((m) => m.external), per(all), per((m) => m.rss)];
  } finally {
    await stage.close();
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '10,100' },
      idle: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '6' },
      runs: { type: 'string', default: '3' },
      codec: { type: 'string', multiple: true, default: ['pcm16'] },
      profile: { type: 'boolean', default: false },
    },
  });
  const rows: string[][] = [];
  for (const calls of values.calls.split(',').map(Number)) {
    for (const codec of values.codec as Codec[])
      for (const echo of [true, false]) {
        const options = { codec, seconds: Number(values.seconds), profile: values.profile };
        const best = await bestOf(Number(values.runs), () => runCalls(calls, echo, options));
        rows.push(callRow(best));
        if (values.profile)
          print(`${costTable(`backend, ${calls} calls, ${codec}`, best.measured.costs, 40)}\n`);
      }
  }
  print(
    `calls of 20 ms frames through the whole bridge, both ways and while the upstream listens, best of ${values.runs} runs of ${values.seconds} s, warmed up`,
  );
  const head = ['calls', 'codec', 'audio', 'core', 'CPU ms/s per call', 'µs/frame', 'calls per core'];
  print(table([...head, 'frames of due', 'in/frame', 'out/frame', 'echo ms median', '95 %'], rows));
  if (Number(values.idle) > 0) {
    print('\nmemory of what is idle, each, after collection');
    const idle = Number(values.idle);
    const kinds = [
      await measureMemory('QUIC, HTTP/3 and a WebTransport session', ECHO_PATH, idle),
      await measureMemory('a voice call: that, its bridge and its WebSocket upstream', VOICE_PATH, idle),
    ];
    print(table(['', 'open', 'heap', 'external', 'heap + external', 'resident set'], kinds));
  }
}

await main();
