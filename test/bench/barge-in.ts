import { parseArgs } from 'node:util';
import { Scene } from '../support/scene.ts';
import { print, table } from './table.ts';

/**
 * How fast `interrupt()` silences an answer in the real page, in Chromium, through forwarder, backend and local realtime service on this
 * machine: from the call of the function to the last sound that leaves the page's audio graph. The answer is made ten times faster
 * than speech, so that all of it lies in the page's buffer by then.
 */

const USAGE = `usage: npm run bench:barge-in -- [--runs 30]

  --runs 30   answers that are interrupted, half a second into each`;

/** In the page: what playback puts out is looked at all the time; `soundMs` is when it was last heard, by `performance.now()`. */
const EAR = `(() => {
  window.AudioWorkletNode = class extends AudioWorkletNode {
    constructor(audio, name, options) {
      super(audio, name, options);
      if (name !== 'parley-playback') return;
      const ear = new AnalyserNode(audio, { fftSize: 64 });
      const heard = new Float32Array(64);
      this.connect(ear);
      window.soundMs = 0;
      const listen = new MessageChannel();
      listen.port1.onmessage = () => {
        ear.getFloatTimeDomainData(heard);
        if (heard.some((sample) => sample !== 0)) window.soundMs = performance.now();
        listen.port2.postMessage(0);
      };
      listen.port2.postMessage(0);
    }
  };
})()`;

/** In the page: has the model answer again, and interrupts it; gives how long it was heard from then on, in ms. */
const RUN = `(async () => {
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const since = performance.now();
  parley.call.send({ type: 'response.create' });
  while (window.soundMs <= since + 1) await pause(5);
  await pause(500);
  const at = performance.now();
  await parley.call.interrupt();
  await pause(400);
  const { cleared, playedSamples, receivedSamples } = parley.answers.at(-1);
  if (!cleared || playedSamples + 24_000 > receivedSamples) throw new Error('the answer was as good as over');
  return Math.max(0, window.soundMs - at);
})()`;

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '30' }, help: { type: 'boolean' } },
});

async function measure(runs: number): Promise<number[]> {
  const text = 'One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen.';
  const scene = await Scene.open({ text, backends: 1 });
  const tookMs: number[] = [];
  try {
    const page = await scene.openPage('/', EAR);
    await page.click('#talk');
    await scene.until(page, 'the first answer is heard', ({ answers }) =>
      answers.some(({ finished }) => finished),
    );
    await page.click('#mute');
    while (tookMs.length < runs) {
      tookMs.push((await page.evaluate(RUN)) as number);
      process.stderr.write(`${tookMs.length}/${runs}: ${tookMs.at(-1)!.toFixed(1)} ms\n`);
    }
    await page.click('#talk');
  } finally {
    await scene.close();
  }
  return tookMs.sort((a, b) => a - b);
}

if (values.help) print(USAGE);
else {
  const took = await measure(Number(values.runs));
  const at = (share: number) => `${took[Math.ceil(share * took.length) - 1]!.toFixed(1)} ms`;
  const row = ['silence', String(took.length), at(0.5), at(0.95), at(1)];
  print(table(['from interrupt() to', 'runs', 'p50', 'p95', 'max'], [row]));
}
