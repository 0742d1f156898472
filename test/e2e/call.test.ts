import { describe, expect, it } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { sceneForEachTest } from '../support/scene.ts';

const LONG = 'One two three four five six seven: every word of this must arrive.';
/** When the caller is in the middle of the sentence: a second of silence leads. */
const MID_UTTERANCE_MS = 3000;

const open = sceneForEachTest();

describe('a caller in Chromium speaks through the forwarder and hears the answer', () => {
  it('every sample of the microphone reaches the upstream, every sample of the answer is played', async () => {
    const opened = await open({ text: 'Hello there, can you hear me?' });
    expectSampleExact(await opened.finish(await opened.call()));
  });

  it('the same at 5 % loss each way', async () => {
    const opened = await open({ text: LONG, relay: { lossRate: 0.05, seed: 7, delayMs: 10 } });
    expectSampleExact(await opened.finish(await opened.call()));
    expect(opened.relay.stats.toTarget.lost).toBeGreaterThan(5);
    expect(opened.relay.stats.toClient.lost).toBeGreaterThan(5);
  });

  it('the client address changes in the middle of an utterance: the same session goes on and the page shows it', async () => {
    const opened = await open({ text: LONG });
    const page = await opened.call();
    await opened.spoken(page, MID_UTTERANCE_MS);
    await opened.relay.rebind();
    const changed = await opened.until(
      page,
      'the page shows the change',
      ({ stats }) => (stats?.pathChanges ?? 0) > 0,
    );
    expect(changed.stats?.pathChanges).toBe(1);
    expect(await page.textContent('#timeline')).toMatch(/address changed/i);
    expectSampleExact(await opened.finish(page));
    expect(opened.upstreams).toHaveLength(1);
  });
});
