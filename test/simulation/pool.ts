import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './run.ts';

/** Seeds that a worker is given at a time. */
const BATCH = 20;
const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));

/** What a worker says of a seed; the story is of one that failed. */
export interface ToldOutcome extends Pick<Outcome, 'seed' | 'hash' | 'datagrams' | 'virtualMs' | 'calls'> {
  readonly story: readonly string[] | undefined;
}

export interface WorkerResult {
  readonly outcomes: readonly ToldOutcome[];
}

export interface PoolOptions {
  readonly first: number;
  readonly seeds: number;
  readonly workers: number;
  readonly mode: string;
  readonly inject: string | undefined;
  readonly onOutcome: (outcome: ToldOutcome) => void;
  /** No further seeds are begun once it says so. */
  readonly isEnough: () => boolean;
}

/** Plays seeds in several processes. Rejects when one of them dies. */
export async function runSeeds(options: PoolOptions): Promise<void> {
  const end = options.first + options.seeds;
  let next = options.first;
  const nextBatch = (): number[] => {
    if (options.isEnough()) return [];
    const batch: number[] = [];
    while (next < end && batch.length < BATCH) batch.push(next++);
    return batch;
  };
  const workers = Array.from({ length: options.workers }, () => startWorker(options, nextBatch));
  await Promise.all(workers);
}

function startWorker(options: PoolOptions, nextBatch: () => number[]): Promise<void> {
  // The same loader as this process: execArgv is handed on.
  const child: ChildProcess = fork(WORKER, [
    options.mode,
    ...(options.inject === undefined ? [] : [options.inject]),
  ]);
  return new Promise((resolve, reject) => {
    const give = (): void => {
      const batch = nextBatch();
      if (batch.length > 0) child.send(batch);
      else child.disconnect();
    };
    child.on('message', ({ outcomes }: WorkerResult) => {
      for (const outcome of outcomes) options.onOutcome(outcome);
      give();
    });
    child.on('error', reject);
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`a worker ended with code ${code}`)),
    );
    give();
  });
}
