import { expect, test } from 'vitest';
import { heldOctets, measureShortCalls, octetsPerCall } from '../bench/memory-runs.ts';

/** A call that is kept costs some 60 KiB, its smallest object of its own 200 octets. */
const MAX_OCTETS_PER_CALL = 1024;

test('the short form of npm run bench:memory: calls that are over leave nothing behind', async () => {
  const callsPerStep = 100;
  const readings = await measureShortCalls(4, callsPerStep, () => {});
  // What the first hundreds leave is code that V8 compiled for them.
  const held = readings.slice(1).map(heldOctets);
  expect(octetsPerCall(held, callsPerStep), held.join(' ')).toBeLessThan(MAX_OCTETS_PER_CALL);
}, 300_000);
