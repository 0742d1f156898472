import { expect, test } from 'vitest';
import { heldOctets, measureShortCalls, octetsPerCall, WITHOUT_COMPILERS } from '../bench/memory-runs.ts';

/** A call that is kept costs some 60 KiB, its smallest object of its own 200 octets. */
const MAX_OCTETS_PER_CALL = 1024;

test('the short form of npm run bench:memory: calls that are over leave nothing behind', async () => {
  const callsPerStep = 200;
  const readings = await measureShortCalls(4, callsPerStep, () => {}, WITHOUT_COMPILERS);
  // Tables grow to the size they keep within the first hundreds.
  const held = readings.slice(1).map(heldOctets);
  expect(octetsPerCall(held, callsPerStep), held.join(' ')).toBeLessThan(MAX_OCTETS_PER_CALL);
}, 300_000);
