import { readArguments } from '../support/arguments.ts';
import { growthMsPerMinute, quantile, runOnNetwork } from '../support/network-run.ts';
import { print, table } from './table.ts';

const USAGE = `usage: npm run bench:networks -- [--seconds 60] [--answer-seconds 15] [--codec auto] [--only NAME] [--trace] [--one-way-ms 50]

How late words come over networks that lose packets or are thin, page in Chromium.

  --seconds 60          of speech
  --answer-seconds 15   of answer
  --codec auto          auto, pcm or opus; may be said more than once
  --only NAME           one network, by its name in the table
  --trace               also the delay in each half second
  --one-way-ms 50       delay each way`;

/**
 * How late a caller's words come to the upstream over bad networks, and whether answers run dry: the page in Chromium in a network namespace of
 * its own, a path that loses packets or has a rate, forwarder, backends and local realtime service in another. Needs root.
 */

interface Network {
  readonly name: string;
  readonly lossRate?: number;
  readonly rateKbps?: number;
}

const NETWORKS: readonly Network[] = [
  { name: 'nothing wrong' },
  { name: '10 % lost', lossRate: 0.1 },
  { name: '20 % lost', lossRate: 0.2 },
  { name: '30 % lost', lossRate: 0.3 },
  { name: '200 kbit/s', rateKbps: 200 },
  { name: '64 kbit/s', rateKbps: 64 },
];

const values = readArguments(
  USAGE,
  {
    seconds: { type: 'string', default: '60' },
    'answer-seconds': { type: 'string', default: '15' },
    codec: { type: 'string', multiple: true, default: ['auto'] },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'one-way-ms': { type: 'string', default: '50' },
  },
  { least: { seconds: 1, 'answer-seconds': 0, 'one-way-ms': 0 }, oneOf: { codec: ['auto', 'pcm', 'opus'] } },
);
const seconds = Number(values.seconds);
const delayMs = Number(values['one-way-ms']);

async function measure(network: Network, codec: 'auto' | 'pcm' | 'opus'): Promise<string[]> {
  const { name, ...conditions } = network;
  const answerSeconds = Number(values['answer-seconds']);
  const run = await runOnNetwork({ ...conditions, delayMs, codec, seconds, answerSeconds });
  const { delaysMs } = run;
  const late = (share: number) => `${Math.round(quantile(delaysMs, share))}`;
  if (values.trace) {
    print(
      `delay each half second: ${delaysMs
        .filter((_, i) => i % 25 === 0)
        .map(Math.round)
        .join(' ')}`,
    );
    print(run.news.join(' | '));
  }
  return [
    name,
    codec,
    `${((100 * run.heardSamples) / run.saidSamples).toFixed(1)} %`,
    late(0.5),
    late(0.95),
    late(0.99),
    late(1),
    `${Math.round(growthMsPerMinute(delaysMs, Math.min(40, seconds - 10)))}`,
    `${run.longestGapMs}`,
    `${run.kbpsUp.toFixed(0)}`,
    run.answerCodec,
    `${run.underruns}`,
  ];
}

const head = [
  'network',
  'codec',
  'arrived',
  'p50 ms',
  'p95',
  'p99',
  'max',
  'growth ms/min',
  'gap ms',
  'kbit/s up',
  'answer',
  'ran dry',
];
const rows: string[][] = [];
for (const network of NETWORKS) {
  if (values.only !== undefined && !network.name.startsWith(values.only)) continue;
  for (const codec of values.codec as ('auto' | 'pcm' | 'opus')[]) {
    rows.push(await measure(network, codec));
    print(rows.at(-1)!.join('  '));
  }
}
print(`\n${seconds} s of speech, ${2 * delayMs} ms round trip, loss each way\n${table(head, rows)}`);
