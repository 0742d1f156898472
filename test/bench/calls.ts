import { parseArgs } from 'node:util';
import { type Carrier, ECHO_PATH, type Stage, setStage, VOICE_PATH } from './call-stages.ts';
import type { Measured } from './child.ts';
import { costTable, print, table } from './table.ts';

/**
 * Voice-shaped calls against one backend process: 20 ms of PCM from each caller, the same audio back from the upstream (or
 * nothing, while it listens), and the whole bridge in between. Beside it a relay of WebSockets, as people run it instead: both are
 * warm, and speak in turn. Callers and upstream are processes of their own; only the backend's, or the relay's, CPU counts.
 */

const KIBIBYTE = 1024;
const FRAME_MS = 20;
/** 20 ms of PCM16 at 24 kHz. */
const FRAME_OCTETS = 960;
/**
 * Frames heard before it counts, or so many seconds: a backend runs for days, and V8 goes on compiling what is hot for
 * tens of thousands of frames. After 3 s of 100 calls a quarter of the CPU time was still the compiler's.
 */
const WARM_UP_FRAMES = 60_000;
const WARM_UP_SECONDS = 30;
const WARM_UP_CALLS = 50;
/** What is under way when callers fall silent is over after that many ms. */
const SETTLE_MS = 400;

interface Memory {
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  readonly rss: number;
}

interface Report {
  readonly frames: number;
  readonly lost: number;
  /** As the backend sees them. */
  readonly datagramsIn: number;
  readonly datagramsOut: number;
  readonly medianMs: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

interface CallRun {
  readonly measured: Measured;
  readonly report: Report;
  /** That went the whole way. */
  readonly frames: number;
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Frames that the upstream heard since it was last asked. */
const framesHeard = async ({ upstream }: Stage) =>
  (await upstream.ask<number>({ op: 'heard' })) / FRAME_OCTETS;

async function hush({ load }: Stage): Promise<void> {
  await load.ask({ op: 'hush' });
  await wait(SETTLE_MS);
}

async function warmUp(stage: Stage): Promise<void> {
  await stage.upstream.ask({ op: 'echo', echo: true });
  await stage.load.ask({ op: 'speak' });
  let frames = 0;
  for (let seconds = 0; seconds < WARM_UP_SECONDS && frames < WARM_UP_FRAMES; seconds++) {
    await wait(1000);
    frames += await framesHeard(stage);
  }
  await hush(stage);
}

async function measure(stage: Stage, echo: boolean, seconds: number, profile: boolean): Promise<CallRun> {
  const { upstream, carrier, load } = stage;
  await upstream.ask({ op: 'echo', echo });
  await load.ask({ op: 'speak' });
  await wait(SETTLE_MS);
  await load.ask({ op: 'reset' });
  await framesHeard(stage);
  await carrier.ask({ op: 'meter', profile });
  await wait(seconds * 1000);
  const measured = await carrier.ask<Measured>({ op: 'measured' });
  const heard = await framesHeard(stage);
  const report = await load.ask<Report>({ op: 'report' });
  await hush(stage);
  if (report.lost > 0) throw new Error(`${report.lost} calls were lost`);
  return { measured, report, frames: echo ? report.frames : heard };
}

const microsPerFrame = ({ measured, frames }: CallRun) => measured.cpuMicros / frames;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** The run that is in the middle by its cost. */
function middle(runs: readonly CallRun[]): CallRun {
  return [...runs].sort((a, b) => microsPerFrame(a) - microsPerFrame(b))[runs.length >> 1]!;
}

interface Cell {
  readonly carrier: Carrier;
  readonly calls: number;
  readonly echo: boolean;
  readonly runs: readonly CallRun[];
}

/** One row: the run in the middle, and how it compares with Parley's of the same rounds. */
function row({ carrier, calls, echo, runs }: Cell, parley: Cell): string[] {
  const run = middle(runs);
  const { measured, report, frames } = run;
  const costs = runs.map(microsPerFrame);
  const ratios = runs.map((other, round) => microsPerFrame(other) / microsPerFrame(parley.runs[round]!));
  const isQuic = carrier.startsWith('Parley');
  return [
    carrier,
    String(calls),
    echo ? 'both ways' : 'microphone',
    microsPerFrame(run).toFixed(1),
    `${Math.min(...costs).toFixed(0)}–${Math.max(...costs).toFixed(0)}`,
    // By frames that went the whole way, not by calls that were open: a machine too busy to keep up must not look fast.
    (1e6 / ((1000 / FRAME_MS) * microsPerFrame(run))).toFixed(0),
    carrier === 'Parley' ? '-' : median(ratios).toFixed(2),
    (frames / (measured.elapsedMs / FRAME_MS) / calls).toFixed(2),
    isQuic ? (report.datagramsIn / frames).toFixed(2) : '-',
    isQuic ? (report.datagramsOut / frames).toFixed(2) : '-',
    ...[report.medianMs, report.p95Ms, report.p99Ms].map((ms) => (echo ? ms.toFixed(1) : '-')),
  ];
}

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly profile: boolean;
  /** Another working tree of Parley, to compare with. */
  readonly other: string | undefined;
}

async function compare(carriers: readonly Carrier[], calls: number, options: Options): Promise<string[][]> {
  const stages: Stage[] = [];
  try {
    for (const carrier of carriers) {
      const stage = await setStage(carrier, VOICE_PATH, options.other);
      stages.push(stage);
      await stage.open(calls);
      await warmUp(stage);
    }
    const rows: string[][] = [];
    for (const echo of [true, false]) {
      const cells = carriers.map((carrier) => ({ carrier, calls, echo, runs: [] as CallRun[] }));
      for (let round = 0; round < options.rounds; round++)
        for (const [index, { runs }] of cells.entries())
          runs.push(await measure(stages[index]!, echo, options.seconds, options.profile));
      rows.push(...cells.map((cell) => row(cell, cells[0]!)));
      if (!options.profile) continue;
      for (const { carrier, runs } of cells)
        print(
          `${costTable(`${carrier}, ${calls} calls, ${echo ? 'both ways' : 'microphone'}`, middle(runs).measured.costs, 60)}\n`,
        );
    }
    return rows;
  } finally {
    await Promise.all(stages.map((stage) => stage.close()));
  }
}

async function measureMemory(name: string, path: string, calls: number) {
  const stage = await setStage('Parley', path);
  try {
    const { carrier } = stage;
    // The first calls load code and fill caches that all share.
    await stage.open(WARM_UP_CALLS);
    await wait(2000);
    const before = await carrier.ask<Memory>({ op: 'memory' });
    await stage.open(calls);
    await wait(2000);
    const after = await carrier.ask<Memory>({ op: 'memory' });
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
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      profile: { type: 'boolean', default: false },
      beside: { type: 'string', default: 'relay,raw' },
      other: { type: 'string' },
      codec: { type: 'string', default: 'opus' },
    },
  });
  const { profile, other } = values;
  const options = { seconds: Number(values.seconds), rounds: Number(values.rounds), profile, other };
  const beside = values.beside.split(',');
  const carriers: Carrier[] = ['Parley'];
  if (other !== undefined) carriers.push('Parley, other');
  if (values.codec === 'opus') carriers.push('Parley, Opus');
  if (beside.includes('relay')) carriers.push('ws relay');
  if (beside.includes('raw')) carriers.push('ws relay, no parsing');
  const rows: string[][] = [];
  for (const calls of values.calls.split(',').map(Number)) {
    if (calls > 0) rows.push(...(await compare(carriers, calls, options)));
  }
  if (rows.length > 0) {
    print(
      `calls of 20 ms, both ways and while the upstream listens, the middle of ${values.rounds} rounds of ${values.seconds} s, in turn, warmed up`,
    );
    const head = ['', 'calls', 'audio', 'µs/frame', 'least–most', 'calls per core', '× Parley'];
    const more = ['frames of due', 'in/frame', 'out/frame', 'echo ms p50', 'p95', 'p99'];
    print(table([...head, ...more], rows));
  }
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
