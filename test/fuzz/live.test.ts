import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { Finding, Tape } from './support/tape.ts';
import { FUZZ_TARGETS } from './support/targets.ts';
import { outcomeOf, tapeOf } from './support/worker.ts';

const CORPUS = join(dirname(fileURLToPath(import.meta.url)), 'corpus');
const RUNS: Readonly<Record<string, number>> = {
  peer: 60,
  network: 10,
  web: 40,
  resumption: 60,
  realtime: 25,
  parsers: 20,
};

describe.each(Object.keys(FUZZ_TARGETS))('%s', (name) => {
  const target = FUZZ_TARGETS[name]!;
  test(`${RUNS[name]} seeds keep every promise`, () => {
    for (let seed = 1; seed <= RUNS[name]!; seed++) {
      const outcome = outcomeOf(target, tapeOf(target, seed));
      if (outcome instanceof Finding) throw new Error(`--target ${name} --seed ${seed}: ${outcome.message}`);
    }
  });

  test('one seed gives one run', () => {
    expect(outcomeOf(target, tapeOf(target, 7))).toBe(outcomeOf(target, tapeOf(target, 7)));
  });
});

describe('inputs that once showed a fault', () => {
  test.each(readdirSync(CORPUS).filter((file) => file.endsWith('.json')))('%s', (file) => {
    const { target, tape } = JSON.parse(readFileSync(join(CORPUS, file), 'utf8')) as {
      target: string;
      tape: string;
    };
    const octets = new Uint8Array(Buffer.from(tape, 'hex'));
    expect(outcomeOf(FUZZ_TARGETS[target]!, new Tape(octets))).not.toBeInstanceOf(Finding);
  });
});
