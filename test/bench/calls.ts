import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { readArguments } from '../support/arguments.ts';
import { type Carrier, ECHO_PATH, type Stage, setStage, VOICE_PATH } from './call-stages.ts';
import { FRAME_MS, FRAME_OCTETS } from './callers.ts';
import { plotCosts } from './calls-plot.ts';
import type { Measured } from './child.ts';
import { median } from './figures.ts';
import { costTable, print, table } from './table.ts';

const USAGE = `usage: npm run bench:calls -- [--calls 10,100] [--seconds 4] [--rounds 3] [--beside relay,raw] [--codec opus] [--idle 200]
                              [--warm-up 30] [--other DIR] [--pin] [--profile] [--plot DIR]

CPU time of calls: one backend process of Parley, and what people run instead, each with so many callers who say 20 ms of PCM each
20 ms. Both ways (the upstream says it back) and while the upstream only listens. All are warm, and speak in turn.

  --calls 10,100      numbers of calls, one table for all; 0 for none
  --seconds 4         of each round
  --rounds 3          of every carrier; medians are shown
  --warm-up 30        seconds of speech before anything counts: after less V8 is still compiling, and all cost more
  --beside NAMES      any of relay (ws over TLS, JSON parsed both ways), raw (the same without parsing), http2 (this backend,
                      callers over TCP) and webrtc (libwebrtc for Node), with commas; or none
  --codec opus        also calls of Parley in Opus; pcm leaves them out
  --idle 200          sessions and calls whose memory is measured while they are idle; 0 for none
  --other DIR         also the backend of another working tree of Parley
  --pin               the carrier on the first core, its callers and upstream on the others (taskset of Linux)
  --profile           also the dearest functions
  --plot DIR          draws CPU per frame by number of calls there: calls.svg, calls-microphone.svg`;

/**
 * Voice-shaped calls against one backend process: 20 ms of PCM from each caller, the same audio back from the upstream (or
 * nothing, while it listens), and the whole bridge in between. Beside it what people run instead, all of them warm, in turn. Callers and
 * upstream are processes of their own; only the backend's, or the relay's, CPU counts, that of all its threads.
 */

const KIBIBYTE = 1024;
/**
 * Frames heard before it counts, or the seconds of `--warm-up`: a backend runs for days, and V8 goes on compiling what is hot for
 * tens of thousands of frames. After 3 s of 100 calls a quarter of the CPU time was still the compiler's.
 */
const WARM_UP_FRAMES = 60_000;
const WARM_UP_CALLS = 50;
/** Carriers that may stand beside Parley. */
const BESIDE: Readonly<Record<string, Carrier>> = {
  http2: 'Parley, HTTP/2',
  relay: 'ws relay',
  raw: 'ws relay, no parsing',
  webrtc: 'WebRTC',
};
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
  /** Null where it cannot be told. */
  readonly medianMs: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
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

async function hush(stage: Stage): Promise<void> {
  await stage.hush();
  await wait(SETTLE_MS);
}

async function warmUp(stage: Stage, longestSeconds: number): Promise<void> {
  await stage.upstream.ask({ op: 'echo', echo: true });
  await stage.speak();
  let frames = 0;
  for (let seconds = 0; seconds < longestSeconds && frames < WARM_UP_FRAMES; seconds++) {
    await wait(1000);
    frames += await framesHeard(stage);
  }
  await hush(stage);
}

async function measure(stage: Stage, echo: boolean, seconds: number, profile: boolean): Promise<CallRun> {
  const { upstream, carrier, load } = stage;
  await upstream.ask({ op: 'echo', echo });
  await stage.speak();
  await wait(SETTLE_MS);
  await stage.madeUp();
  await load.ask({ op: 'reset' });
  await framesHeard(stage);
  await carrier.ask({ op: 'meter', profile });
  await wait(seconds * 1000);
  const measured = await carrier.ask<Measured>({ op: 'measured' });
  const given = await framesHeard(stage);
  const report = await load.ask<Report>({ op: 'report' });
  const heard = given - (await stage.madeUp());
  await hush(stage);
  if (report.lost > 0) throw new Error(`${report.lost} calls were lost`);
  // What callers of WebRTC hear comes by libwebrtc's clock: it cannot be more than the upstream was given.
  return { measured, report, frames: echo ? Math.min(report.frames, heard) : heard };
}

const microsPerFrame = ({ measured, frames }: CallRun) => measured.cpuMicros / frames;

/** The run that is in the middle by its cost; of an even number, the lower one of the two. */
function middle(runs: readonly CallRun[]): CallRun {
  return [...runs].sort((a, b) => microsPerFrame(a) - microsPerFrame(b))[(runs.length - 1) >> 1]!;
}

interface Cell {
  readonly carrier: Carrier;
  readonly calls: number;
  readonly echo: boolean;
  readonly runs: CallRun[];
}

/** With the echo, and while the upstream only listens. */
const BOTH = [true, false] as const;

/** One row: medians, how they compare with Parley's of the same rounds, and what the run in the middle counted. */
function row({ carrier, calls, echo, runs }: Cell, parley: Cell): string[] {
  const { measured, report, frames } = middle(runs);
  const costs = runs.map(microsPerFrame);
  const micros = median(costs);
  const ratios = runs.map((other, round) => microsPerFrame(other) / microsPerFrame(parley.runs[round]!));
  const isQuic = carrier.startsWith('Parley') && carrier !== 'Parley, HTTP/2';
  return [
    carrier,
    String(calls),
    echo ? 'both ways' : 'listens',
    micros.toFixed(1),
    `${Math.min(...costs).toFixed(1)}–${Math.max(...costs).toFixed(1)}`,
    // By frames that went the whole way, not by calls that were open: a machine too busy to keep up must not look fast.
    (1e6 / ((1000 / FRAME_MS) * micros)).toFixed(0),
    carrier === 'Parley' ? '-' : median(ratios).toFixed(2),
    (frames / (measured.elapsedMs / FRAME_MS) / calls).toFixed(2),
    isQuic ? (report.datagramsIn / frames).toFixed(2) : '-',
    isQuic ? (report.datagramsOut / frames).toFixed(2) : '-',
    ...[report.medianMs, report.p95Ms, report.p99Ms].map((ms) => (echo && ms !== null ? ms.toFixed(1) : '-')),
  ];
}

interface Options {
  readonly seconds: number;
  readonly rounds: number;
  /** At most, before anything counts. */
  readonly warmUpSeconds: number;
  readonly profile: boolean;
  /** Another working tree of Parley, to compare with. */
  readonly other: string | undefined;
  /** What is measured has a core to itself. */
  readonly pin: boolean;
}

/** Calls by one carrier, and what they cost in each direction. */
interface Show {
  readonly carrier: Carrier;
  readonly stage: Stage;
  readonly cells: readonly Cell[];
}

/** Does it, or says that the carrier cannot: one that this machine is too small for must not take the figures of others with it. */
async function attempt(carrier: Carrier, calls: number, what: () => Promise<unknown>): Promise<boolean> {
  try {
    await what();
    return true;
  } catch (error) {
    if (carrier === 'Parley') throw error;
    const [why] = (error as Error).message.split('\n');
    print(`${carrier} is left out at ${calls} calls, which it did not carry here: ${why}`);
    return false;
  }
}

function pin({ carrier, load, upstream }: Stage): void {
  const last = availableParallelism() - 1;
  if (last < 1) throw new Error('--pin needs two cores');
  const places = [
    [carrier, '0'],
    [load, `1-${last}`],
    [upstream, `1-${last}`],
  ] as const;
  for (const [{ pid }, cores] of places) {
    const { error, status } = spawnSync('taskset', ['-apc', cores, String(pid)]);
    if (error !== undefined || status !== 0) throw error ?? new Error(`taskset ended with ${status}`);
  }
}

async function compare(carriers: readonly Carrier[], calls: number, options: Options): Promise<Cell[]> {
  let shows: Show[] = [];
  const leaveOut = async (show: Show) => {
    shows = shows.filter((other) => other !== show);
    await show.stage.close();
  };
  try {
    for (const carrier of carriers) {
      const stage = await setStage(carrier, VOICE_PATH, options.other);
      if (options.pin) pin(stage);
      const show = { carrier, stage, cells: BOTH.map((echo) => ({ carrier, calls, echo, runs: [] })) };
      shows.push(show);
      const prepare = async () => {
        await stage.open(calls);
        await warmUp(stage, options.warmUpSeconds);
      };
      if (!(await attempt(carrier, calls, prepare))) await leaveOut(show);
    }
    for (const [direction, echo] of BOTH.entries()) {
      for (let round = 0; round < options.rounds; round++)
        for (const show of shows) {
          const { runs } = show.cells[direction]!;
          const run = async () =>
            runs.push(await measure(show.stage, echo, options.seconds, options.profile));
          if (!(await attempt(show.carrier, calls, run))) await leaveOut(show);
        }
    }
    return BOTH.flatMap((_, direction) => shows.map(({ cells }) => cells[direction]!));
  } finally {
    await Promise.all(shows.map(({ stage }) => stage.close()));
  }
}

function printProfiles(cells: readonly Cell[]): void {
  for (const { carrier, calls, echo, runs } of cells) {
    const title = `${carrier}, ${calls} calls, ${echo ? 'both ways' : 'microphone'}`;
    print(`${costTable(title, middle(runs).measured.costs, 60)}\n`);
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

/** What `--beside` asks for, in the order of the table. */
function besideOf(names: readonly string[]): Carrier[] {
  return Object.entries(BESIDE).flatMap(([name, carrier]) => (names.includes(name) ? [carrier] : []));
}

function printTitle({ seconds, rounds, pin }: Options): void {
  const where = pin
    ? 'the carrier on the first core, its callers and upstream on the others'
    : 'cores not pinned';
  print(
    `calls of 20 ms, both ways and while the upstream only listens, medians of ${rounds} rounds of ${seconds} s, in turn; ${where}`,
  );
}

/** What the columns say, below a table. */
const LEGEND = `
µs/frame: CPU of one server process for each 20 ms of a call; no forwarder is in the way, which costs some 2 to 5 µs per packet
calls per core: what a core of this machine would carry at that cost, full to the brim
× Parley: median of the ratios to Parley's cost in the same round, not the quotient of two medians; above 1 Parley is the cheaper one
of due: frames that went the whole way, of those that were to; in, out: QUIC packets per frame; echo: from microphone to answer`;

/** How long it takes, about: all is silent meanwhile. */
function printDuration(carriers: number, tables: number, options: Options): void {
  const { seconds, rounds, warmUpSeconds } = options;
  const each = warmUpSeconds + BOTH.length * rounds * (seconds + (2 * SETTLE_MS) / 1000);
  const minutes = (carriers * tables * each) / 60;
  print(`at most ${Math.ceil(minutes)} min, of which ${warmUpSeconds} s or less warm each of ${carriers} up`);
}

/** As soon as a number of calls is done: a run of many may take longer than who started it waits. */
function report(cells: readonly Cell[]): void {
  const parleyOf = ({ calls, echo }: Cell) =>
    cells.find((cell) => cell.carrier === 'Parley' && cell.calls === calls && cell.echo === echo)!;
  const head = ['', 'calls', 'audio', 'µs/frame', 'least–most', 'calls per core', '× Parley'];
  const more = ['of due', 'in', 'out', 'echo ms p50', 'p95', 'p99'];
  const rows = cells.map((cell) => row(cell, parleyOf(cell)));
  print(table([...head, ...more], rows));
  if (cells.some(({ carrier }) => carrier === 'WebRTC'))
    print(
      'WebRTC: CPU is that of all threads; frames that libwebrtc made up do not count; its echo’s delay cannot be told behind a lossy codec',
    );
}

function draw(cells: readonly Cell[], directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const echo of BOTH) {
    const costs = cells
      .filter((cell) => cell.echo === echo)
      .map(({ carrier, calls, runs }) => ({ carrier, calls, micros: median(runs.map(microsPerFrame)) }));
    const name = echo ? 'calls.svg' : 'calls-microphone.svg';
    const title = `A call’s CPU on the server${echo ? '' : ', while it only listens'}`;
    writeFileSync(join(directory, name), plotCosts(title, costs));
  }
}

async function measureIdle(count: number): Promise<void> {
  const kinds = [
    await measureMemory('QUIC, HTTP/3 and a WebTransport session', ECHO_PATH, count),
    await measureMemory('a voice call: that, its bridge and its WebSocket upstream', VOICE_PATH, count),
  ];
  print('\nmemory of what is idle, each, after collection');
  print(table(['', 'open', 'heap', 'external', 'heap + external', 'resident set'], kinds));
}

async function main(): Promise<void> {
  const values = readArguments(
    USAGE,
    {
      calls: { type: 'string', default: '10,100' },
      idle: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      'warm-up': { type: 'string', default: '30' },
      pin: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      beside: { type: 'string', default: 'relay,raw' },
      other: { type: 'string' },
      codec: { type: 'string', default: 'opus' },
      plot: { type: 'string' },
    },
    {
      least: { calls: 0, idle: 0, seconds: 0.1, rounds: 1, 'warm-up': 0 },
      whole: ['calls', 'idle', 'rounds'],
      oneOf: { codec: ['opus', 'pcm'], beside: [...Object.keys(BESIDE), 'none'] },
    },
  );
  const { profile, other, pin } = values;
  const options = {
    seconds: Number(values.seconds),
    rounds: Number(values.rounds),
    warmUpSeconds: Number(values['warm-up']),
    profile,
    other,
    pin,
  };
  const carriers: Carrier[] = ['Parley'];
  if (other !== undefined) carriers.push('Parley, other');
  if (values.codec === 'opus') carriers.push('Parley, Opus');
  carriers.push(...besideOf(values.beside.split(',')));
  const cells: Cell[] = [];
  const numbers = values.calls.split(',').map(Number);
  const tables = numbers.filter((calls) => calls > 0).length;
  if (tables > 0) {
    printTitle(options);
    printDuration(carriers.length, tables, options);
  }
  for (const calls of numbers) {
    if (calls <= 0) continue;
    const compared = await compare(carriers, calls, options);
    if (profile) printProfiles(compared);
    report(compared);
    cells.push(...compared);
  }
  if (cells.length > 0) print(LEGEND);
  if (cells.length > 0 && values.plot !== undefined) draw(cells, values.plot);
  if (Number(values.idle) > 0) await measureIdle(Number(values.idle));
}

await main();
