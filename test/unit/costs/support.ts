import { expect } from 'vitest';

export const MIB = 1 << 20;
/** Twice the octets may cost this many times as much; what costs the square takes four times. */
const MOST = 3.5;
/** Below this many milliseconds of CPU a run is too short to be compared: it is cheap. */
const SHORT_MS = 40;
const TRIES = 4;

/** Milliseconds of CPU of this process, not of the clock: a busy machine makes nothing dearer. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** `prepare` makes the input of that many octets, untimed, and gives the work. */
export function expectLinear(prepare: (octets: number) => () => void): void {
  let best = Number.POSITIVE_INFINITY;
  let one = Number.POSITIVE_INFINITY;
  let two = Number.POSITIVE_INFINITY;
  for (let i = 0; i < TRIES && best >= MOST; i++) {
    one = Math.min(one, cpuMs(prepare(MIB)));
    two = Math.min(two, cpuMs(prepare(2 * MIB)));
    best = two / Math.max(one, SHORT_MS);
  }
  expect(best, `1 MiB took ${one.toFixed(1)} ms, 2 MiB ${two.toFixed(1)} ms`).toBeLessThan(MOST);
}

/** `pattern` again and again, up to so many octets. */
export function repeated(octets: number, pattern: readonly number[] | Uint8Array): Uint8Array {
  const copies = Math.floor(octets / pattern.length);
  const out = new Uint8Array(copies * pattern.length);
  for (let i = 0; i < copies; i++) out.set(pattern, i * pattern.length);
  return out;
}
