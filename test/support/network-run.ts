import type { Page } from 'playwright-core';
import { openNetpath } from './netpath/index.ts';
import { Scene } from './scene.ts';
import { SpokenWords } from './spoken-words.ts';

/** Seven seconds, as the speech synthesizer says it. */
const SENTENCE =
  'The quick brown fox jumps over the lazy dog, while seven wise wizards watch from the hill and wonder why. ';
const SENTENCE_SECONDS = 7;

/** A network, and what a caller in Chromium does on it. */
export interface NetworkRun {
  /** Share of packets lost each way. */
  readonly lossRate?: number;
  readonly rateKbps?: number;
  /** One way. */
  readonly delayMs: number;
  readonly codec: 'auto' | 'pcm' | 'opus';
  /** How long the caller speaks. */
  readonly seconds: number;
  /** How long an answer is listened to, behind that; 0 for none. */
  readonly answerSeconds: number;
  readonly seed?: number;
}

/** What became of it. Delays are from the microphone's worklet to the local realtime service, of each 20 ms. */
export interface NetworkFigures {
  readonly saidSamples: number;
  /** Those that came in order. */
  readonly heardSamples: number;
  readonly delaysMs: readonly number[];
  readonly longestGapMs: number;
  readonly kbpsUp: number;
  /** Times that the answer ran dry after the first second of it. */
  readonly underruns: number;
  readonly answerCodec: string;
  readonly news: readonly string[];
}

/** Runs one call over a path of network namespaces: page in Chromium on one end, forwarder, backends and local realtime service on the other. */
export async function runOnNetwork(run: NetworkRun): Promise<NetworkFigures> {
  const { lossRate = 0, rateKbps = 0, delayMs, codec, seconds, answerSeconds, seed = 11 } = run;
  const words = new SpokenWords();
  const path = await openNetpath({ delayMs, seed, lossRate, rateKbit: rateKbps });
  try {
    const text = SENTENCE.repeat(Math.max(1, Math.round(seconds / SENTENCE_SECONDS)));
    // A name for each backend, so that a session that the network breaks is dialled where its call is.
    const flags = [`--host-resolver-rules=MAP *.localhost ${path.right.address}`];
    const scene = await Scene.open({
      text,
      codec,
      path,
      observer: words.observer,
      callHost: 'localhost',
      flags,
    });
    try {
      const page = await scene.openPage();
      await words.watch(page);
      await page.click('#talk');
      await scene.spoken(page, seconds * 1000);
      const { octets } = (await path.stats()).toRight;
      const answer = answerSeconds > 0 ? await listen(scene, page, answerSeconds) : undefined;
      await page.click('#mute');
      const samples = (await scene.report(page)).microphone?.samples ?? 0;
      for (const end = Date.now() + 30_000; words.heardSamples < samples && Date.now() < end; )
        await new Promise((resolve) => setTimeout(resolve, 100));
      const compared = await words.compare(page);
      const { timeline } = await scene.report(page);
      return {
        saidSamples: compared.said.length,
        heardSamples: compared.heard.length,
        delaysMs: compared.delaysMs.slice(0, seconds * 50),
        longestGapMs: compared.longestGapMs,
        kbpsUp: (octets * 8) / seconds / 1000,
        underruns: answer?.underruns ?? 0,
        answerCodec: answer?.codec ?? 'none',
        news: timeline.map((entry) => entry.text),
      };
    } finally {
      await scene.close();
    }
  } finally {
    await path.close();
  }
}

interface Playback {
  readonly underruns: number;
  readonly codec: string;
}

/** Hears an answer for so long, from a second after it begins. */
async function listen(scene: Scene, page: Page, seconds: number): Promise<Playback> {
  const playback = async () => (await page.evaluate('window.parley.stats.playback')) as Playback;
  await scene.until(page, 'an answer was heard for a second', ({ answers }) =>
    answers.some(({ cleared, playedSamples }) => !cleared && playedSamples >= 24_000),
  );
  const before = await playback();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const after = await playback();
  return { codec: after.codec, underruns: after.underruns - before.underruns };
}

/** The delay below which this share is, in ms. */
export function quantile(delaysMs: readonly number[], share: number): number {
  const sorted = [...delaysMs].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** How much longer the delay became, in ms for each minute: the slope of a line through those of the last `seconds`. */
export function growthMsPerMinute(delaysMs: readonly number[], seconds: number): number {
  const last = delaysMs.slice(-seconds * 50);
  const middle = (last.length - 1) / 2;
  const mean = last.reduce((sum, delay) => sum + delay, 0) / last.length;
  let [xy, xx] = [0, 0];
  for (const [i, delay] of last.entries()) {
    xy += (i - middle) * (delay - mean);
    xx += (i - middle) ** 2;
  }
  return (xy / xx) * 50 * 60;
}
