import { INJECTIONS, type InjectionName } from './injections.ts';
import type { ToldOutcome } from './pool.ts';
import { runSeed } from './run.ts';
import { tellFailure } from './story.ts';

/** A process of `npm run simulate`: plays the seeds that it is sent and sends back what came of them. */
const injection = process.argv[2];
if (injection !== undefined) INJECTIONS[injection as InjectionName].inject();

process.on('message', (seeds: readonly number[]) => {
  const outcomes = seeds.map((seed): ToldOutcome => {
    const { hash, datagrams, virtualMs, calls, failure } = runSeed(seed);
    const story = failure === undefined ? undefined : tellFailure(seed);
    return { seed, hash, datagrams, virtualMs, calls, story };
  });
  process.send?.({ outcomes });
});
