import { expect, it } from 'vitest';
import { sceneForEachTest } from '../support/scene.ts';
import { codecOf, SpokenWords, untilCodec } from '../support/spoken-words.ts';

const LONG =
  'One two three four five six seven: every word of this must arrive, however slow the network is. ';

const open = sceneForEachTest();

it('to Opus on a slow network and back to PCM when it is well again, in one call: no packet lost or doubled, no click', async () => {
  const words = new SpokenWords();
  const opened = await open({
    text: LONG.repeat(6),
    codec: 'auto',
    codecCalmMs: 3000,
    observer: words.observer,
    relay: { delayMs: 50 },
  });
  const page = await opened.openPage();
  await words.watch(page);
  await page.click('#talk');
  await opened.spoken(page, 3000);
  expect(await codecOf(page)).toBe('pcm16');
  opened.relay.setRate(120);
  await untilCodec(page, 'opus');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  opened.relay.setRate(undefined);
  // By way of 100 ms of PCM, which may be too much for a busy machine the first time.
  await untilCodec(page, 'pcm16', 2500);
  await page.click('#talk');
  const report = await opened.until(page, 'the call ended', ({ state }) => state === 'idle');
  expect(words.heardSamples).toBe(report.microphone?.samples);
  const compared = await words.compare(page);
  expect(compared.heard.length).toBe(compared.said.length);
  expect(compared.shift).toBe(0);
  expect(compared.longestGapMs).toBeLessThanOrEqual(20);
  // To Opus, and to PCM.
  expect(compared.seams.length).toBeGreaterThanOrEqual(2);
  for (const seam of compared.seams) expect(compared.clickDb(seam)).toBeLessThan(-40);
  expect(compared.said.subarray(-4800)).toEqual(compared.heard.subarray(-4800));
}, 180_000);
