import { expect, it } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { type PageReport, sceneForEachTest } from '../support/scene.ts';

const LONG =
  'This is a sentence of some length, in the middle of which the network goes away for a while, and comes back.';
/** Longer than QUIC's idle timeout at both ends, and shorter than the backend keeps a call. */
const SILENT_MS = 40_000;
/** The longest step between dials is 5 s; three round trips on this machine are nothing; a loaded one takes its time. */
const BACK_WITHIN_MS = 8000;

const open = sceneForEachTest();

it('the network is gone for 40 s: one caller in mid-sentence, one in mid-answer, and both go on where they were', async () => {
  const scene = await open({ text: 'not heard', backends: 1, answerSpeed: 1 });
  const [hears, speaks] = [await scene.callWithScript(), await scene.callWithScript()];
  await hears.microphone.say(LONG);
  await scene.untilInAnswer(hears.page);
  await speaks.microphone.say(LONG);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { answers: before } = await scene.report(hears.page);
  expect(before[0]!.complete).toBe(false);

  scene.relay.setLoss(1);
  await new Promise((resolve) => setTimeout(resolve, SILENT_MS));
  const kept = await Promise.all([hears, speaks].map(({ page }) => scene.report(page)));
  for (const { microphone } of kept) expect(microphone!.keptMs).toBeGreaterThan(SILENT_MS / 2);
  scene.relay.setLoss(0);
  const backMs = performance.now();
  const flows = [hears, speaks].map(async ({ page }, i) => {
    const { receivedSamples, samples } = kept[i]!.microphone!;
    const flows = ({ microphone }: PageReport) => microphone!.receivedSamples > receivedSamples;
    await scene.until(page, 'audio flows again', flows);
    const tookMs = performance.now() - backMs;
    // How soon half a minute of words is there is the machine's affair.
    const caughtUp = ({ microphone }: PageReport) => microphone!.receivedSamples >= samples;
    await scene.until(page, 'all of it is there', caughtUp);
    return tookMs;
  });
  for (const tookMs of await Promise.all(flows)) expect(tookMs).toBeLessThan(BACK_WITHIN_MS);

  for (const { page } of [hears, speaks]) {
    const result = await scene.finish(page);
    expectSampleExact(result);
    expect(result.report.stats!.resumptions).toBeGreaterThan(0);
  }
  // The same upstream went on with each.
  expect(scene.upstreams).toHaveLength(2);
}, 180_000);
