import { describe, expect, it } from 'vitest';
import { sceneForEachTest } from '../support/scene.ts';
import { SpokenWords, untilCodec } from '../support/spoken-words.ts';

const LONG =
  'One two three four five six seven: every word of this must arrive, however slow the network is. ';

const open = sceneForEachTest();

describe('a caller in Chromium on a network too slow for PCM', () => {
  it('goes over to Opus, what waits too: every sample in its place, and no click', async () => {
    const words = new SpokenWords();
    const opened = await open({
      text: LONG.repeat(4),
      codec: 'auto',
      observer: words.observer,
      relay: { delayMs: 50 },
    });
    const page = await opened.openPage();
    await words.watch(page);
    await page.click('#talk');
    await opened.spoken(page, 3000);
    opened.relay.setRate(120);
    await untilCodec(page, 'opus');
    expect(await page.textContent('#timeline')).toMatch(/too slow for uncompressed speech/);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    opened.relay.setRate(undefined);
    expect(await page.textContent('#f-uplink')).toMatch(/saved/);
    await page.click('#talk');
    const report = await opened.until(page, 'the call ended', ({ state }) => state === 'idle');
    expect(words.heardSamples).toBe(report.microphone?.samples);
    const compared = await words.compare(page);
    expect(compared.heard.length).toBe(compared.said.length);
    expect(compared.shift).toBe(0);
    expect(compared.audibleWindows).toBeGreaterThan(100);
    expect(compared.longestGapMs).toBeLessThanOrEqual(20);
    expect(compared.seams.length).toBeGreaterThanOrEqual(1);
    for (const seam of compared.seams) expect(compared.clickDb(seam)).toBeLessThan(-40);
  }, 180_000);
});
