import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Scene, SceneOptions } from './scene.ts';
import { SpokenWords } from './spoken-words.ts';

/** The codec in which the microphone's audio is sent now. */
export const codecOf = async (page: Page): Promise<unknown> =>
  page.evaluate('window.parley.stats.microphone.uplink.codec');

/** Waits until the microphone has been sent in this codec for so long, in ms. */
export async function untilCodec(page: Page, wanted: string, forMs = 0): Promise<void> {
  let since = Number.POSITIVE_INFINITY;
  for (const end = Date.now() + 90_000; Date.now() - since < forMs || since === Number.POSITIVE_INFINITY; ) {
    if (Date.now() > end) throw new Error(`in vain: ${wanted}`);
    since = (await codecOf(page)) === wanted ? Math.min(since, Date.now()) : Number.POSITIVE_INFINITY;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A caller who speaks to a backend with `codec: 'auto'`, three seconds into it, both ends listened to. */
export async function callOfWords(open: (options: SceneOptions) => Promise<Scene>, options: SceneOptions) {
  const words = new SpokenWords();
  const scene = await open({
    ...options,
    codec: 'auto',
    observer: words.observer,
    relay: { delayMs: 50 },
  });
  const page = await scene.openPage();
  await words.watch(page);
  await page.click('#talk');
  await scene.spoken(page, 3000);
  return { words, scene, page };
}

/** Ends the call, and compares what was said with what was heard: as long, nothing shifted, no gap, no click at a seam. */
export async function compareWords(
  { words, scene, page }: Awaited<ReturnType<typeof callOfWords>>,
  leastSeams: number,
) {
  await page.click('#talk');
  const report = await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
  expect(words.heardSamples).toBe(report.microphone?.samples);
  const compared = await words.compare(page);
  expect(compared.heard.length).toBe(compared.said.length);
  expect(compared.shift).toBe(0);
  expect(compared.longestGapMs).toBeLessThanOrEqual(20);
  expect(compared.seams.length).toBeGreaterThanOrEqual(leastSeams);
  for (const seam of compared.seams) expect(compared.clicksAt(seam)).toBe(false);
  return compared;
}
