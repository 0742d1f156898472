import { availableParallelism } from 'node:os';
import { StartupError } from '../startup.ts';

/** More would be a slip of the finger: no machine that runs this has so many cores. */
const MAX_WORKERS = 128;

/** The value of `--workers`: a number of processes, or `auto` for one per core. Throws `StartupError`, one sentence. */
export function parseWorkerCount(text: string, cores = availableParallelism()): number {
  if (text === 'auto') return Math.min(cores, MAX_WORKERS);
  const count = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (count >= 1 && count <= MAX_WORKERS) return count;
  throw new StartupError(`--workers must be a number from 1 to ${MAX_WORKERS}, or auto, not "${text}".`);
}
