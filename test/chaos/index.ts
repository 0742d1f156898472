import { print } from '../bench/table.ts';
import { readArguments } from '../support/arguments.ts';
import { Chaos } from './run.ts';
import { reportText, shortcomings } from './table.ts';

const USAGE = `usage: npm run chaos -- [--schedule random|rollout|rotation] [--minutes 10] [--calls 200] [--seed 1]
         [--backends 3] [--forwarders 2] [--loss 0.01] [--frame-ms 40] [--muted 0] [--pauses 1] [--drain-seconds 4] [--logs DIR]

Real processes under calls. random: forwarders and backends are killed, stopped and drained, networks cut, upstreams ended, keys rotated,
as the seed says, for so many minutes. rollout: every process is replaced, one after the other. rotation: one whole rotation of the CIDs.
Ends with 1 when a call, or a sample of one, was lost; when a call heard nothing for more than a second in a rollout; when not all CIDs
moved within a minute. --muted is the share of callers that mute their microphones in pauses: they cost about a third. --pauses makes the pauses in which callers
listen so many times as long: for many calls on a machine of few cores.
--drain-seconds is the time in which the calls of a backend that is replaced move: in a pause during its first half, then at once.
--logs is where what all programs said and counted is written in the end, before the calls hang up.
`;

async function main(): Promise<number> {
  const values = readArguments(
    USAGE,
    {
      schedule: { type: 'string', default: 'random' },
      minutes: { type: 'string', default: '10' },
      calls: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      backends: { type: 'string', default: '3' },
      forwarders: { type: 'string', default: '2' },
      loss: { type: 'string', default: '0.01' },
      'frame-ms': { type: 'string', default: '40' },
      muted: { type: 'string', default: '0' },
      pauses: { type: 'string', default: '1' },
      'drain-seconds': { type: 'string', default: '4' },
      logs: { type: 'string' },
    },
    {
      least: {
        minutes: 0.01,
        calls: 1,
        seed: 0,
        backends: 1,
        forwarders: 1,
        loss: 0,
        'frame-ms': 1,
        muted: 0,
        pauses: 0,
        'drain-seconds': 0,
      },
      whole: ['calls', 'seed', 'backends', 'forwarders'],
      oneOf: { schedule: ['random', 'rollout', 'rotation'] },
    },
  );
  const begun = performance.now();
  const chaos = new Chaos({
    seed: Number(values.seed),
    calls: Number(values.calls),
    runMs: Number(values.minutes) * 60_000,
    backends: Number(values.backends),
    forwarders: Number(values.forwarders),
    loss: Number(values.loss),
    frameMs: Number(values['frame-ms']),
    mutedShare: Number(values.muted),
    pauses: Number(values.pauses),
    logs: values.logs,
    drainSeconds: Number(values['drain-seconds']),
    note: (text) => print(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${text}`),
  });
  try {
    await chaos.open();
    if (values.schedule === 'rollout') await chaos.watch(() => chaos.rollOut());
    else if (values.schedule === 'rotation')
      await chaos.watch(() => chaos.do('config rotated', () => chaos.rotate()));
    else await chaos.runSchedule();
    const report = await chaos.finish();
    print(`\n${reportText(report)}`);
    const found = shortcomings(report, values.schedule);
    print(
      `\nseed ${values.seed}: ${found.length === 0 ? 'all is as it must be, nothing was lost' : found.join(' ')}`,
    );
    return found.length === 0 ? 0 : 1;
  } finally {
    await chaos.close();
  }
}

// What it started ends with it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
process.exit(await main());
