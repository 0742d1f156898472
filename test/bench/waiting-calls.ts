import { readArguments } from '../support/arguments.ts';
import { waitingCalls } from '../support/waiting-calls.ts';

/**
 * `npm run bench:waiting`: octets of heap that a call costs while it waits for its page, without the upstream's socket, which is a
 * model here.
 */
const USAGE = `usage: npm run bench:waiting

Octets of heap that a call costs while it waits for its page, without the upstream's socket, which is a model here.`;

const CALLS = 1000;
const WARM_UP = 200;

function heapOctets(): number {
  if (globalThis.gc === undefined) throw new Error('run it with --expose-gc: npm run bench:waiting does');
  for (let i = 0; i < 4; i++) globalThis.gc();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
}

readArguments(USAGE, {});
for (const turns of [0, 20, 200]) {
  const { calls, abandon } = waitingCalls(3600, CALLS + WARM_UP);
  for (let i = 0; i < WARM_UP; i++) await abandon(turns);
  const before = heapOctets();
  for (let i = 0; i < CALLS; i++) await abandon(turns);
  const perCall = (heapOctets() - before) / CALLS;
  process.stdout.write(
    `${turns} items said: ${(perCall / 1024).toFixed(1)} KiB for each of ${calls.waiting} waiting calls\n`,
  );
  calls.close();
}
