import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { Finding, Tape } from './tape.ts';
import { FUZZ_TARGETS, type FuzzTarget } from './targets.ts';

/** What the worker is given. `seeds` makes what it does replayable; `progress` holds target index, seed and iterations. */
export interface WorkerTask {
  readonly targets: readonly string[];
  readonly seed: number;
  readonly endEpochMs: number;
  readonly progress: Int32Array;
}

export interface FoundInput {
  readonly target: string;
  readonly seed: number;
  readonly oracle: string;
  readonly detail: string;
  readonly stack: string;
  /** The tape, in hex. */
  readonly tape: string;
}

export type WorkerReport =
  | { readonly type: 'found'; readonly input: FoundInput }
  | {
      readonly type: 'done';
      readonly outcomes: Readonly<Record<string, number>>;
      readonly heapOctets: number;
    };

/** One run that takes longer does too much for what came in, even on a busy machine. */
const MAX_RUN_MS = 8000;
const RUNS_BETWEEN_MEASUREMENTS = 500;
const MAX_HEAP_GROWTH_OCTETS = 96 * 1024 * 1024;
const MAX_SHRINKS = 150;
const MIN_TAPE_OCTETS = 64;

export function tapeOf(target: FuzzTarget, seed: number): Tape {
  const span = target.maxTapeOctets - MIN_TAPE_OCTETS;
  return Tape.seeded(seed, MIN_TAPE_OCTETS + ((seed * 7919) % span));
}

/** What stays the same of a finding over different inputs. */
export function keyOf(error: Finding): string {
  return `${error.oracle} ${error.message.replace(/[0-9a-f.]*\d[0-9a-f.]*/g, '#')}`;
}

export function outcomeOf(target: FuzzTarget, tape: Tape): string | Finding {
  try {
    const began = performance.now();
    const outcome = target.run(tape);
    const tookMs = performance.now() - began;
    return tookMs > MAX_RUN_MS ? new Finding('bounded time', `${Math.round(tookMs)} ms`) : outcome;
  } catch (error) {
    return error instanceof Finding ? error : new Finding('the fuzzer itself', String(error), error);
  }
}

/** A shorter or plainer tape that shows the same. */
function shrink(target: FuzzTarget, octets: Uint8Array, key: string): Uint8Array {
  let best = octets;
  let tries = 0;
  const shows = (candidate: Uint8Array): boolean => {
    tries += 1;
    const outcome = outcomeOf(target, new Tape(candidate));
    return outcome instanceof Finding && keyOf(outcome) === key;
  };
  for (let piece = best.length >> 1; piece >= 4 && tries < MAX_SHRINKS; piece >>= 1) {
    for (let at = best.length - piece; at >= 0 && tries < MAX_SHRINKS; at -= piece) {
      const without = new Uint8Array(Buffer.concat([best.subarray(0, at), best.subarray(at + piece)]));
      if (shows(without)) best = without;
    }
  }
  return best;
}

function heapOctets(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function work(task: WorkerTask): void {
  const known = new Set<string>();
  const outcomes: Record<string, number> = {};
  let heapBefore: number | undefined;
  let seed = task.seed;
  for (let runs = 0; Date.now() < task.endEpochMs; runs++) {
    const index = runs % task.targets.length;
    const name = task.targets[index]!;
    const target = FUZZ_TARGETS[name]!;
    task.progress.set([index, seed, runs]);
    const tape = tapeOf(target, seed);
    const outcome = outcomeOf(target, tape);
    if (outcome instanceof Finding) {
      const key = `${name} ${keyOf(outcome)}`;
      if (!known.has(key)) {
        known.add(key);
        const octets =
          outcome.oracle === 'bounded time' ? tape.octets : shrink(target, tape.octets, keyOf(outcome));
        report(name, seed, outcome, octets);
      }
      outcomes[`${name}: found`] = (outcomes[`${name}: found`] ?? 0) + 1;
    } else outcomes[`${name}: ${outcome}`] = (outcomes[`${name}: ${outcome}`] ?? 0) + 1;
    if (index === task.targets.length - 1) seed += 1;
    if (runs % RUNS_BETWEEN_MEASUREMENTS !== RUNS_BETWEEN_MEASUREMENTS - 1) continue;
    const heap = heapOctets();
    // What is loaded and compiled on the way is there after the second measurement.
    if (runs > 2 * RUNS_BETWEEN_MEASUREMENTS) heapBefore ??= heap;
    if (heapBefore !== undefined && heap - heapBefore > MAX_HEAP_GROWTH_OCTETS) {
      report(name, seed, new Finding('memory does not grow', `${heap - heapBefore} octets`), tape.octets);
      heapBefore = heap;
    }
  }
  send({ type: 'done', outcomes, heapOctets: heapOctets() });
}

function report(target: string, seed: number, finding: Finding, octets: Uint8Array): void {
  const { oracle, message: detail } = finding;
  const cause = finding.cause instanceof Error ? finding.cause : finding;
  const tape = Buffer.from(octets).toString('hex');
  send({ type: 'found', input: { target, seed, oracle, detail, stack: cause.stack ?? '', tape } });
}

function send(message: WorkerReport): void {
  parentPort?.postMessage(message);
}

if (parentPort !== null && workerData !== null && typeof workerData === 'object' && 'progress' in workerData)
  work(workerData as WorkerTask);
