import { INJECTIONS, type InjectionName } from './injections.ts';
import { runSeed } from './run.ts';

/** A process of `npm run simulate`: plays the seeds that it is sent and sends back what came of them. */
const injection = process.argv[2];
if (injection !== undefined) INJECTIONS[injection as InjectionName].inject();

process.on('message', (seeds: readonly number[]) => {
  process.send?.({ outcomes: seeds.map((seed) => runSeed(seed)) });
});
