import type { Page } from 'playwright-core';
import { readArguments } from '../support/arguments.ts';
import { quantile } from '../support/network-run.ts';
import { scriptMicrophone } from '../support/scripted-microphone.ts';
import { circumstances } from './figures.ts';
import { type Carrier, NAMES, SideStage } from './sides/stage.ts';
import { print, table } from './table.ts';

/**
 * How fast an interruption silences an answer in a page in Chromium: from the call of the function to the last sound that leaves the page's
 * audio graph. The answer is made ten times faster than speech, so that all of it lies in the page's buffer by then. Parley's library
 * beside a page as people write it whose server is a relay of WebSockets, over one path. Needs root.
 */

const USAGE = `usage: npm run bench:barge-in -- [--runs 30] [--quick] [--one-way-ms 20]

  --runs 30         answers that are interrupted, half a second into each, with 10 s of it buffered
  --quick           5 of them
  --one-way-ms 20   delay of the path`;

/** Of the answer, not played yet when it is interrupted. */
const BUFFERED_SECONDS = 10;
const TEXT =
  'One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty, ' +
  'and from there on it goes in the same way, from twenty one and twenty two to ninety nine and one hundred, as every child can tell you. ' +
  'Those who do not believe it may count on by themselves, one number after the other, until it is time to go to bed.';
/** Longest wait, from the beginning of the speech, for its answer to begin, in ms. */
const ANSWER_TIMEOUT_MS = 60_000;

/** In the page: what its playback puts out is looked at all the time; `soundMs` is when it was last heard, by `performance.now()`. */
const EAR = `(() => {
  window.soundMs = 0;
  window.onOutput = (node) => {
    const ear = new AnalyserNode(node.context, { fftSize: 64 });
    const heard = new Float32Array(64);
    node.connect(ear);
    const listen = new MessageChannel();
    listen.port1.onmessage = () => {
      ear.getFloatTimeDomainData(heard);
      if (heard.some((sample) => sample !== 0)) window.soundMs = performance.now();
      listen.port2.postMessage(0);
    };
    listen.port2.postMessage(0);
  };
  window.AudioWorkletNode = class extends AudioWorkletNode {
    constructor(audio, name, options) {
      super(audio, name, options);
      if (name === 'parley-playback') window.onOutput(this);
    }
  };
})()`;

/** In the page: has the model answer again, and interrupts it; gives how long it was heard from then on, in ms. */
const interruption = (carrier: Carrier) => `(async () => {
  const side = sides.${carrier};
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const since = performance.now();
  side.send({ type: 'response.create' });
  while (window.soundMs <= since + 1) await pause(5);
  await pause(500);
  const buffered = () => side.answer().received - side.answer().played;
  for (const end = performance.now() + 5000; buffered() < ${BUFFERED_SECONDS * 24_000}; await pause(5))
    if (performance.now() > end) throw new Error('the answer was as good as over: ' + buffered() + ' samples');
  const at = performance.now();
  await side.interrupt();
  await pause(400);
  return Math.max(0, window.soundMs - at);
})()`;

const values = readArguments(
  USAGE,
  {
    runs: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'one-way-ms': { type: 'string', default: '20' },
  },
  { least: { runs: 1, 'one-way-ms': 0 } },
);
const runs = Number(values.runs ?? (values.quick ? 5 : 30));

/** A caller who said something long, whose answer has begun, and was interrupted for the first time. */
async function openCall(stage: SideStage, carrier: Carrier): Promise<Page> {
  const page = await stage.openPage(EAR);
  const microphone = await scriptMicrophone(page);
  await page.waitForFunction('window.sides !== undefined');
  await stage.path.set({ delayMs: Number(values['one-way-ms']) });
  await page.evaluate(`sides.${carrier}.talk()`);
  await microphone.say(TEXT);
  await page.waitForFunction('window.soundMs > 0', undefined, { timeout: ANSWER_TIMEOUT_MS });
  await page.evaluate(`sides.${carrier}.interrupt()`);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return page;
}

async function measure(stage: SideStage, carrier: Carrier): Promise<number[]> {
  const page = await openCall(stage, carrier);
  const tookMs: number[] = [];
  while (tookMs.length < runs) {
    tookMs.push((await page.evaluate(interruption(carrier))) as number);
    process.stderr.write(`${NAMES[carrier]} ${tookMs.length}/${runs}: ${tookMs.at(-1)!.toFixed(1)} ms\n`);
  }
  await stage.closePage(page, carrier);
  return tookMs;
}

const stage = await SideStage.open({ codec: 'pcm' });
try {
  const rows: string[][] = [];
  for (const carrier of ['parley', 'ws'] as const) {
    const took = await measure(stage, carrier);
    const at = (share: number) => `${quantile(took, share).toFixed(1)} ms`;
    rows.push([NAMES[carrier], String(took.length), at(0.5), at(0.95), at(1)]);
  }
  print(
    `\nfrom the interruption to silence, ${BUFFERED_SECONDS} s of answer buffered\n${table(['', 'runs', 'p50', 'p95', 'max'], rows)}\n${circumstances()}`,
  );
} finally {
  await stage.close();
}
