import { describe, expect, it } from 'vitest';
import type { Outcome } from '../run.ts';
import { CALL_INVARIANTS } from '../violation.ts';
import { CALL_INJECTIONS } from './injections.ts';
import { drawCallsPlan } from './plan.ts';
import { runCallsPlan, runCallsSeed } from './run.ts';

const SEEDS = 40;
/** Seeds that found faults once: each of them meets what is rare in others. */
const ONCE_FAILED = [180, 220, 242, 268, 392, 481, 728, 879, 1074, 1195, 1221, 20290];
/** Seeds within which each injected bug is found. */
const INJECTION_SEEDS = [...Array.from({ length: 40 }, (_, i) => i + 1), ...ONCE_FAILED];

describe('calls over sessions that end at any instant', () => {
  const outcomes: Outcome[] = [];

  it(`no violation in seeds 1 to ${SEEDS}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) outcomes.push(await runCallsSeed(seed));
    const failures = outcomes.flatMap(({ seed, failure }) =>
      failure ? [`seed ${seed}: ${failure.message}`] : [],
    );
    expect(failures).toEqual([]);
  }, 60_000);

  it('no violation in seeds that found faults once', async () => {
    const failures: string[] = [];
    for (const seed of ONCE_FAILED) {
      const { failure } = await runCallsSeed(seed);
      if (failure !== undefined) failures.push(`seed ${seed}: ${failure.message}`);
    }
    expect(failures).toEqual([]);
  }, 60_000);

  it('meet in these seeds all that it is for', () => {
    const met = new Set(outcomes.flatMap((outcome) => Object.keys(outcome.met)));
    const wanted = [
      'session cut',
      'silence',
      'page unheard',
      'unheard session left',
      'no network',
      'upstream ends',
      'upstream stalls',
      'backend dies',
      'backend drains',
      'stale tab',
      'second tab',
      'thief refused',
      'page: attached',
      'page: restored',
      'page: rewound',
      'answer heard',
      'answer broken off',
      'tool used',
      'hung up',
    ];
    expect(wanted.filter((name) => !met.has(name))).toEqual([]);
  });

  it('repeat to the octet', async () => {
    for (const { seed, hash } of outcomes.filter((outcome) => outcome.seed % 13 === 7)) {
      const again = await runCallsSeed(seed, true);
      expect({ seed, hash: again.hash }).toEqual({ seed, hash });
      expect(again.trace?.length).toBeGreaterThan(50);
    }
    expect(new Set(outcomes.map(({ hash }) => hash)).size).toBe(SEEDS);
  });
});

describe('a page that hears and is not heard', () => {
  it('goes on in another session, though the first one speaks to it and comes back later', async () => {
    const plan = {
      ...drawCallsPlan(1),
      backends: 1,
      actions: [{ atMs: 0, what: { kind: 'speaks', forMs: 12_000, ends: 'commit' } }] as const,
      faults: [{ atMs: 2000, what: { kind: 'page unheard', forMs: 8000 } }] as const,
      hangUpAtMs: undefined,
      secondTab: false,
      calmAtMs: 13_000,
    };
    const { met, failure } = await runCallsPlan(plan);
    expect(failure).toBeUndefined();
    expect(met).toMatchObject({ 'page: attached': 1, 'unheard session left': 1 });
  });
});

describe('a bug that is put into calls is found by the invariant that it breaks', () => {
  it.each(Object.entries(CALL_INJECTIONS))(
    '%s',
    async (_, { breaks, inject }) => {
      const takeOut = inject();
      try {
        let found: string | undefined;
        for (const seed of INJECTION_SEEDS) {
          if (found === breaks) break;
          found = (await runCallsSeed(seed)).failure?.invariant;
        }
        expect(found).toBe(breaks);
      } finally {
        takeOut();
      }
    },
    60_000,
  );

  it('there is one for each invariant', () => {
    const broken = new Set(Object.values(CALL_INJECTIONS).map(({ breaks }) => breaks as string));
    expect(Object.keys(CALL_INVARIANTS).filter((name) => !broken.has(name))).toEqual([]);
  });
});
