import { parseArgs } from 'node:util';
import { openNetpath } from '../support/netpath/index.ts';
import { Scene } from '../support/scene.ts';
import { SpokenWords } from '../support/spoken-words.ts';
import { print, table } from './table.ts';

/**
 * How late a caller's words come to the upstream over bad networks: the page in Chromium, a relay that loses packets or has a rate, forwarder,
 * backend and local realtime service. Delays are from the worklet to the service, of each 20 ms.
 */

const SENTENCE =
  'The quick brown fox jumps over the lazy dog, while seven wise wizards watch from the hill and wonder why. ';

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

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    codec: { type: 'string', multiple: true, default: ['pcm', 'auto'] },
    only: { type: 'string' },
    trace: { type: 'boolean', default: false },
    'one-way-ms': { type: 'string', default: '50' },
  },
});
const seconds = Number(values.seconds);
const delayMs = Number(values['one-way-ms']);

async function measure(network: Network, codec: 'auto' | 'pcm' | 'opus'): Promise<string[]> {
  const words = new SpokenWords();
  const { lossRate, rateKbps } = network;
  const path = await openNetpath({
    delayMs,
    seed: 11,
    ...(lossRate && { lossRate }),
    ...(rateKbps && { rateKbit: rateKbps }),
  });
  const scene = await Scene.open({
    path,
    text: SENTENCE.repeat(Math.ceil(seconds / 5)),
    codec,
    observer: words.observer,
  });
  try {
    const page = await scene.openPage();
    await words.watch(page);
    await page.click('#talk');
    await scene.until(
      page,
      'so much was said',
      ({ microphone }) => (microphone?.samples ?? 0) >= seconds * 24_000,
      400_000,
    );
    await page.click('#mute');
    const before = (await path.stats()).toRight.octets;
    const end = Date.now() + 30_000;
    const samples = async () => (await scene.report(page)).microphone?.samples ?? 0;
    while (words.heardSamples < (await samples()) && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 200));
    const compared = await words.compare(page);
    const late = (share: number, from = 0) => `${Math.round(compared.delayMs(share, from))}`;
    if (values.trace) {
      const each = Array.from({ length: Math.floor(compared.delaysMs.length / 25) }, (_, i) =>
        Math.round(compared.delaysMs[i * 25]!),
      );
      print(`delay each half second: ${each.join(' ')}`);
      const { timeline } = await scene.report(page);
      print(timeline.map(({ text }) => text).join(' | '));
      print(
        `seams at ${compared.seams.map((at) => `${(at / 24_000).toFixed(2)} s (${compared.clickDb(at).toFixed(0)} dB)`).join(', ')}`,
      );
    }
    const lastMs = Math.max(0, seconds * 1000 - 40_000);
    const growth =
      compared.delayMs(0.5, Math.max(0, seconds * 1000 - 10_000)) - compared.delayMs(0.5, lastMs);
    return [
      network.name,
      codec,
      `${((100 * compared.delaysMs.length * 480) / compared.said.length).toFixed(1)} %`,
      late(0.5),
      late(0.95),
      late(0.99),
      late(1),
      `${Math.round(growth)}`,
      `${compared.longestGapMs}`,
      `${((before * 8) / seconds / 1000).toFixed(0)}`,
      `${compared.seams.length}`,
    ];
  } finally {
    await scene.close();
    await path.close();
  }
}

const head = [
  'network',
  'codec',
  'arrived',
  'p50 ms',
  'p95',
  'p99',
  'max',
  'growth ms',
  'gap ms',
  'kbit/s up',
  'seams',
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
