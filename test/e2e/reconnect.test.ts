import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { type Scene, sceneForEachTest } from '../support/scene.ts';

const LONG =
  'This is a sentence of some length, in the middle of which the network goes away for a while, and comes back.';
/** When the caller is in the middle of the sentence. */
const MID_UTTERANCE_MS = 3000;
/** The longest step between dials is 5 s; a loaded machine takes its time on top of it. */
const BACK_WITHIN_MS = 8000;

const open = sceneForEachTest();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The network is gone for so long; gives the time from its return to the backend's next word of the microphone, in ms. */
async function withoutNetwork(scene: Scene, page: Page, ms: number): Promise<number> {
  scene.relay.setLoss(1);
  await pause(ms);
  const { microphone } = await scene.report(page);
  expect(microphone!.keptMs).toBeGreaterThan(ms / 2);
  scene.relay.setLoss(0);
  const backMs = performance.now();
  const caughtUp = (report: { microphone: { receivedSamples: number } | undefined }) =>
    (report.microphone?.receivedSamples ?? 0) >= microphone!.samples;
  await scene.until(page, 'audio flows again', caughtUp);
  return performance.now() - backMs;
}

describe.each([5000, 15_000])('the network is gone for %d ms', (ms) => {
  it('in mid-sentence: the same conversation goes on, and no sample is lost or doubled', async () => {
    const scene = await open({ text: LONG, backends: 1 });
    const page = await scene.call();
    await scene.spoken(page, MID_UTTERANCE_MS);
    const tookMs = await withoutNetwork(scene, page, ms);
    expect(tookMs).toBeLessThan(BACK_WITHIN_MS);
    const result = await scene.finish(page);
    expectSampleExact(result);
    expect(scene.upstreams).toHaveLength(1);
    const told = result.report.timeline.map(({ text }) => text).join('\n');
    expect(told).toMatch(/connection is gone/);
    if (ms > 10_000) {
      expect(result.report.stats!.resumptions).toBeGreaterThan(0);
      expect(told).toMatch(/Back after 1\d\.?\d? s\. The call goes on where it stopped/);
    }
  });

  it('in mid-answer: the rest of it comes, and no sample is lost or doubled', async () => {
    const scene = await open({ text: LONG, backends: 1, answerSpeed: 1 });
    const { page, microphone } = await scene.callWithScript();
    await microphone.say(LONG);
    await scene.untilInAnswer(page);
    const before = await scene.report(page);
    await withoutNetwork(scene, page, ms);
    const result = await scene.finish(page);
    expect(before.answers[0]!.complete).toBe(false);
    expectSampleExact(result);
    expect(scene.upstreams).toHaveLength(1);
  });
});
