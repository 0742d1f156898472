import { expect, it } from 'vitest';
import { sceneForEachTest } from '../support/scene.ts';
import { callOfWords, codecOf, compareWords, untilCodec } from '../support/words-call.ts';

const LONG =
  'One two three four five six seven: every word of this must arrive, however slow the network is. ';

const open = sceneForEachTest();

it('to Opus on a slow network and back to PCM when it is well again, in one call: no packet lost or doubled, no click', async () => {
  const call = await callOfWords(open, { text: LONG.repeat(6), codecCalmMs: 3000 });
  const { scene, page } = call;
  expect(await codecOf(page)).toBe('pcm16');
  scene.relay.setRate(120);
  await untilCodec(page, 'opus');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  scene.relay.setRate(undefined);
  // By way of 100 ms of PCM, which may be too much for a busy machine the first time.
  await untilCodec(page, 'pcm16', 2500);
  // To Opus, and to PCM.
  const { said, heard } = await compareWords(call, 2);
  expect(said.subarray(-4800)).toEqual(heard.subarray(-4800));
}, 180_000);
