import { MODES } from './modes.ts';
import type { ToldOutcome } from './pool.ts';

/** A process of `npm run simulate`: plays the seeds that it is sent and sends back what came of them. */
const [name = 'network', injection] = process.argv.slice(2);
const mode = MODES[name]!;
if (injection !== undefined) mode.injections[injection]!.inject();

async function play(seed: number): Promise<ToldOutcome> {
  const { hash, datagrams, virtualMs, calls, failure } = await mode.run(seed);
  const story = failure === undefined ? undefined : await mode.tell(seed);
  return { seed, hash, datagrams, virtualMs, calls, story };
}

process.on('message', async (seeds: readonly number[]) => {
  const outcomes: ToldOutcome[] = [];
  for (const seed of seeds) outcomes.push(await play(seed));
  process.send?.({ outcomes });
});
