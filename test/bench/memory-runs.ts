import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stage, setStage, VOICE_PATH } from './call-stages.ts';
import { partOf } from './heap-parts.ts';
import { type HeapGrowth, type HeapInventory, HeapSnapshot, heapGrowth } from './heap-snapshot.ts';

/** What calls cost a backend in memory, measured from inside of it once nothing is left to collect. */

/** As `process.memoryUsage` gives it, in octets. */
export interface Memory {
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  readonly rss: number;
}

/** Code is loaded, and caches that all calls share are filled, by so many. */
const WARM_UP_CALLS = 200;
/** What is under way when calls were opened, or have ended, is over after that many ms. */
const SETTLE_MS = 2000;
/** Callers speak so long before an active call is measured, in ms. */
const SPEAK_MS = 5000;

/** What is kept in memory: octets of V8's heap, and of what lies outside of it on behalf of objects there. */
export const heldOctets = ({ heapUsed, external }: Memory): number => heapUsed + external;

/** A snapshot, or a thousand calls, may take so long on a busy machine, in ms. */
const LONG_STEP_MS = 600_000;

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const memoryOf = ({ carrier }: Stage) => carrier.ask<Memory>({ op: 'memory' });

export interface CallKind {
  /** Where sessions are opened: voice calls, or sessions of WebTransport alone. */
  readonly path: string;
  /** What the calls do when they are looked at: nothing, speak and hear, or wait for their pages to come back. */
  readonly state: 'idle' | 'speaking' | 'waiting';
}

/**
 * Options by which V8 compiles each function once and keeps that: what it makes of functions as they get hot comes to some 2 MiB over the
 * first 2500 calls, and what it drops of those that have cooled to 1 MiB, more than a leak of 500 octets each would.
 */
export const WITHOUT_COMPILERS: readonly string[] = [
  '--no-opt',
  '--no-sparkplug',
  '--no-lazy-feedback-allocation',
  '--no-flush-bytecode',
];

/** Runs `look` before and after so many calls were opened beside those of the warm-up. */
async function around(calls: number, { path, state }: CallKind, look: (stage: Stage) => Promise<void>) {
  // Code that V8 makes meanwhile is all calls', and differs by 2 KiB per call from run to run; frames need it, to come in time.
  const flags = state === 'speaking' ? [] : WITHOUT_COMPILERS;
  const stage = await setStage('Parley', path, '', flags);
  const { load, upstream } = stage;
  try {
    await upstream.ask({ op: 'echo', echo: true });
    await stage.open(WARM_UP_CALLS);
    if (state === 'speaking') {
      await load.ask({ op: 'speak' });
      await wait(SPEAK_MS);
      await load.ask({ op: 'hush' });
    }
    await wait(SETTLE_MS);
    await look(stage);
    await stage.open(calls);
    if (state === 'speaking') await load.ask({ op: 'speak', from: WARM_UP_CALLS });
    if (state === 'waiting') await load.ask({ op: 'lose', from: WARM_UP_CALLS });
    await wait(state === 'speaking' ? SPEAK_MS : SETTLE_MS);
    await look(stage);
  } finally {
    await stage.close();
  }
}

/** Memory before and after `calls` calls were opened. */
export interface CallMemory {
  readonly before: Memory;
  readonly after: Memory;
}

export async function measureCalls(calls: number, kind: CallKind): Promise<CallMemory> {
  const readings: Memory[] = [];
  await around(calls, kind, async (stage) => {
    readings.push(await memoryOf(stage));
  });
  return { before: readings[0]!, after: readings[1]! };
}

/** What of the heap so many calls are made of. In a run of its own: what V8 notes for a snapshot takes memory itself. */
export async function measureParts(calls: number, kind: CallKind): Promise<HeapGrowth> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-heap-'));
  const path = join(directory, 'heap');
  let before: HeapInventory | undefined;
  let growth: HeapGrowth | undefined;
  try {
    await around(calls, kind, async (stage) => {
      // Collects first.
      await memoryOf(stage);
      await stage.carrier.ask({ op: 'snapshot', path }, LONG_STEP_MS);
      const heap = HeapSnapshot.read(path);
      if (before === undefined) before = heap.inventory();
      else growth = heapGrowth(heap, before, partOf);
    });
    return growth!;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Memory after so many short calls, one reading for each step of them; the first before any.
 *
 * @param flags more options of Node for the backend.
 */
export async function measureShortCalls(
  steps: number,
  callsPerStep: number,
  told: (calls: number, memory: Memory) => void,
  flags: readonly string[] = [],
): Promise<Memory[]> {
  const stage = await setStage('Parley', VOICE_PATH, '', flags);
  const readings: Memory[] = [];
  const read = async () => {
    await wait(SETTLE_MS);
    const memory = await memoryOf(stage);
    told(readings.length * callsPerStep, memory);
    readings.push(memory);
  };
  try {
    await stage.upstream.ask({ op: 'echo', echo: true });
    await stage.load.ask({ op: 'openShort', count: WARM_UP_CALLS }, LONG_STEP_MS);
    await read();
    for (let step = 0; step < steps; step++) {
      await stage.load.ask({ op: 'openShort', count: callsPerStep }, LONG_STEP_MS);
      await read();
    }
    return readings;
  } finally {
    await stage.close();
  }
}

/**
 * Octets that each further call leaves behind: the slope through readings that are `callsApart` calls apart, by least squares, so that no
 * single reading decides.
 */
export function octetsPerCall(readings: readonly number[], callsApart: number): number {
  const middle = (readings.length - 1) / 2;
  const mean = readings.reduce((sum, value) => sum + value, 0) / readings.length;
  let [above, below] = [0, 0];
  for (const [i, value] of readings.entries()) {
    above += (i - middle) * (value - mean);
    below += (i - middle) ** 2;
  }
  return above / below / callsApart;
}
