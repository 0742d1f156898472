import { afterEach, describe, expect, it } from 'vitest';
import { INJECTIONS } from './injections.ts';
import { runSeed } from './run.ts';
import { linesAbout, tellFailure } from './story.ts';

describe('a seed that fails', () => {
  let takeOut = (): void => {};
  afterEach(() => takeOut());

  it('is told so that a person can begin: seed, invariant, time, call, surroundings, what happened last, how to see more', () => {
    takeOut = INJECTIONS['reset-code-lost'].inject();
    let seed = 1;
    while (runSeed(seed).failure === undefined) seed += 1;
    const story = tellFailure(seed);
    const call = /call-\d+/.exec(story[0]!)?.[0];
    expect(story[0]).toMatch(new RegExp(`^seed ${seed} FAILED \\[streams\\] .*call-\\d+.*stream \\d+`));
    expect(story[1]).toMatch(/at \d+\.\d{3} virtual s: \d clients, \d forwarders, \d backends/);
    expect(story.at(-1)).toBe(`  replay: npm run simulate -- --seed ${seed} --trace --about ${call}`);
    const last = story.slice(story.findIndex((line) => line.includes(`happened to ${call}`)) + 1, -1);
    expect(last.length).toBeGreaterThan(3);
  });

  it('can be read for one call alone, probes and other calls left out', () => {
    const seed = 2;
    const outcome = runSeed(seed, true);
    expect(outcome.calls).toBeGreaterThan(1);
    const about = ['call-1', 'call-2'].map((call) => linesAbout(outcome, call));
    for (const [index, lines] of about.entries()) {
      expect(lines.some((line) => line.includes(`dials call-${index + 1}.`))).toBe(true);
      expect(lines.some((line) => line.includes(`call-${2 - index}.`))).toBe(false);
      expect(lines.length).toBeLessThan(outcome.trace!.length);
    }
  });
});
