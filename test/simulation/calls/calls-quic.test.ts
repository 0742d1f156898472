import { describe, expect, it } from 'vitest';
import { INJECTIONS } from '../injections.ts';
import type { Outcome } from '../run.ts';
import { CALL_INJECTIONS } from './injections.ts';
import { runCallsSeed } from './run.ts';

const SEEDS = 16;

describe('calls over QUIC, HTTP/3 and WebTransport through forwarders and a NAT', () => {
  const outcomes: Outcome[] = [];

  it(`no violation in seeds 1 to ${SEEDS}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) outcomes.push(await runCallsSeed(seed, false, 'quic'));
    const failures = outcomes.flatMap(({ seed, failure }) =>
      failure ? [`seed ${seed}: ${failure.message}`] : [],
    );
    expect(failures).toEqual([]);
  }, 120_000);

  it('meet in these seeds all that it is for', () => {
    const met = new Set(outcomes.flatMap((outcome) => Object.keys(outcome.met)));
    const wanted = [
      'rebinding',
      'burst',
      'forwarder restarts',
      'session cut',
      'silence',
      'no network',
      'upstream ends',
      'backend dies',
      'backend drains',
      'thief refused',
      'steered',
      'page: attached',
      'page: restored',
      'page: rewound',
      'answer heard',
      'answer broken off',
      'hung up',
    ];
    expect(wanted.filter((name) => !met.has(name))).toEqual([]);
  });

  it('repeat to the octet', async () => {
    const { seed, hash } = outcomes[6]!;
    const again = await runCallsSeed(seed, true, 'quic');
    expect({ seed, hash: again.hash }).toEqual({ seed, hash });
    expect(again.datagrams).toBeGreaterThan(5000);
  }, 60_000);
});

/** The invariant that the first seed breaks which breaks one, while a bug is in. */
async function foundBy(inject: () => () => void, wanted: string | undefined): Promise<string | undefined> {
  const takeOut = inject();
  try {
    let found: string | undefined;
    for (let seed = 1; seed <= 2 * SEEDS; seed++) {
      found = (await runCallsSeed(seed, false, 'quic')).failure?.invariant;
      if (found !== undefined && found === (wanted ?? found)) break;
    }
    return found;
  } finally {
    takeOut();
  }
}

describe('a bug is found over QUIC too', () => {
  it.each(['sample-doubled', 'foreign-ticket-taken'] as const)(
    'of calls: %s',
    async (name) => {
      const { breaks, inject } = CALL_INJECTIONS[name];
      expect(await foundBy(inject, breaks)).toBe(breaks);
    },
    120_000,
  );

  it('of the engine beneath them: two octets of a read in the wrong order', async () => {
    expect(await foundBy(INJECTIONS['octets-swapped'].inject, undefined)).toBeDefined();
  }, 60_000);
});
