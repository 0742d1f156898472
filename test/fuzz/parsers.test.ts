import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PARSERS, parseTyped } from './support/parsers.ts';
import { Tape } from './support/tape.ts';

/** Beyond any packet or frame that is read as one, so that work that grows faster than the input shows as a timeout. */
const LARGE_OCTETS = 60_000;
const tapes = fc.uint8Array({ minLength: 8, maxLength: 64 });

describe.each(Object.keys(PARSERS))('%s', (name) => {
  const { sample } = PARSERS[name]!;

  test('well-formed octets are taken', () => {
    let taken = 0;
    for (let seed = 1; seed <= 40; seed++) if (parseTyped(name, sample(Tape.seeded(seed, 200)))) taken += 1;
    expect(taken).toBeGreaterThan(0);
  });

  test('arbitrary octets throw nothing but the typed error, and stay as they came', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
        parseTyped(name, octets);
      }),
      { numRuns: 150 },
    );
  });

  test('well-formed octets that were changed throw nothing but the typed error', () => {
    fc.assert(
      fc.property(tapes, (octets) => {
        const tape = new Tape(octets);
        parseTyped(name, tape.mutate(sample(tape)));
      }),
      { numRuns: 150 },
    );
  });

  test('large inputs come to an end', () => {
    for (const fill of [0x00, 0x01, 0x40, 0x7f, 0x80, 0xc0, 0xff])
      parseTyped(name, new Uint8Array(LARGE_OCTETS).fill(fill));
    const piece = sample(Tape.seeded(1, 200));
    const repeated = Buffer.alloc(LARGE_OCTETS, piece.length === 0 ? Uint8Array.of(1) : piece);
    parseTyped(name, new Uint8Array(repeated));
  });
});
