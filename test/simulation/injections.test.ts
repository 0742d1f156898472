import { describe, expect, it } from 'vitest';
import { INJECTIONS } from './injections.ts';
import { runSeed } from './run.ts';
import { INVARIANTS } from './violation.ts';

/** Seeds within which each injected bug is found. */
const SEEDS = 120;

describe('a bug that is put into the engine is found by the invariant that it breaks', () => {
  it.each(Object.entries(INJECTIONS))('%s', (_, { breaks, inject }) => {
    const takeOut = inject();
    try {
      let found: string | undefined;
      for (let seed = 1; seed <= SEEDS && found !== breaks; seed++) found = runSeed(seed).failure?.invariant;
      expect(found).toBe(breaks);
    } finally {
      takeOut();
    }
  });

  it('there is one for each invariant', () => {
    const broken = new Set(Object.values(INJECTIONS).map(({ breaks }) => breaks as string));
    expect(Object.keys(INVARIANTS).filter((name) => !broken.has(name))).toEqual([]);
  });
});
