import { expect, it } from 'vitest';
import { sceneForEachTest } from '../support/scene.ts';
import { callOfWords, compareWords, untilCodec } from '../support/words-call.ts';

const LONG =
  'One two three four five six seven: every word of this must arrive, however slow the network is. ';

const open = sceneForEachTest();

it('a caller in Chromium on a network too slow for PCM goes over to Opus, what waits too: every sample in its place, and no click', async () => {
  const call = await callOfWords(open, { text: LONG.repeat(4) });
  const { scene, page } = call;
  scene.relay.setRate(120);
  await untilCodec(page, 'opus');
  expect(await page.textContent('#timeline')).toMatch(/gets through too slowly/);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  scene.relay.setRate(undefined);
  expect(await page.textContent('#f-uplink')).toMatch(/saved/);
  const compared = await compareWords(call, 1);
  expect(compared.audibleWindows).toBeGreaterThan(100);
}, 180_000);
