import { parseArgs } from 'node:util';
import { print } from '../bench/table.ts';
import { Chaos } from './run.ts';
import { reportText } from './table.ts';

const USAGE = `usage: npm run chaos -- [--schedule random|rollout|rotation] [--minutes 10] [--calls 200] [--seed 1]
         [--backends 3] [--forwarders 2] [--loss 0.01] [--frame-ms 40]

Real processes under calls. random: forwarders and backends are killed, stopped and drained, networks cut, upstreams ended, keys rotated,
as the seed says, for so many minutes. rollout: every process is replaced, one after the other. rotation: one whole rotation of the CIDs.
Ends with 1 when a call, or a sample of one, was lost.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedule: { type: 'string', default: 'random' },
      minutes: { type: 'string', default: '10' },
      calls: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      backends: { type: 'string', default: '3' },
      forwarders: { type: 'string', default: '2' },
      loss: { type: 'string', default: '0.01' },
      'frame-ms': { type: 'string', default: '40' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const begun = performance.now();
  const chaos = new Chaos({
    seed: Number(values.seed),
    calls: Number(values.calls),
    runMs: Number(values.minutes) * 60_000,
    backends: Number(values.backends),
    forwarders: Number(values.forwarders),
    loss: Number(values.loss),
    frameMs: Number(values['frame-ms']),
    note: (text) => print(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${text}`),
  });
  try {
    await chaos.open();
    if (values.schedule === 'rollout') await chaos.rollOut();
    else if (values.schedule === 'rotation') await chaos.do('config rotated', () => chaos.rotate());
    else await chaos.runSchedule();
    const report = await chaos.finish();
    print(`\n${reportText(report)}`);
    const whole = report.calls.every(({ failure, lost, doubled }) => !failure && lost === 0 && doubled === 0);
    print(`\nseed ${values.seed}: ${whole ? 'nothing was lost' : 'SOMETHING WAS LOST'}`);
    return whole ? 0 : 1;
  } finally {
    await chaos.close();
  }
}

// What it started ends with it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
process.exit(await main());
