import { describe, expect, it } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { sceneForEachTest } from '../support/scene.ts';

const LONG = 'This is a sentence of some length, so that there is time to speak over its answer.';
const SAMPLES_PER_MS = 24;

const open = sceneForEachTest();

describe('a caller speaks over the answer', () => {
  it('playback stops at once, and the upstream is told exactly how much was heard', async () => {
    const scene = await open({ text: LONG });
    const { page, microphone } = await scene.callWithScript();
    await microphone.say(LONG);
    await scene.until(
      page,
      'a part of the answer was heard',
      ({ answers }) => (answers[0]?.playedSamples ?? 0) > 500 * SAMPLES_PER_MS,
    );
    await microphone.say('Stop, I have something to add.');
    // Written when the worklet has said where it stopped, not when it was told to.
    await page.waitForSelector('.cut', { timeout: 60_000 });
    const cleared = await scene.report(page);
    const { report, upstream } = await scene.finishAfter(
      page,
      ({ answers }) => answers.length > 1 && answers.at(-1)!.finished,
    );

    const [first, ...later] = report.answers;
    expect(first!.playedSamples).toBeGreaterThan(0);
    expect(first!.playedSamples).toBeLessThan(first!.receivedSamples);
    expect(first!.playedSamples).toBe(cleared.answers[0]!.playedSamples);
    const told = upstream.answers.find(({ itemId }) => itemId === first!.itemId)!;
    expect(told.truncatedMs).toBe(Math.floor(first!.playedSamples / SAMPLES_PER_MS));
    for (const answer of later) {
      expect(answer).toMatchObject({
        cleared: false,
        playedSamples: answer.receivedSamples,
        playedHash: answer.receivedHash,
      });
    }
    expect(upstream).toMatchObject({
      microphoneSamples: report.microphone!.samples,
      microphoneHash: report.microphone!.hash,
    });
  });
});

describe('a caller hangs up while the network loses much', () => {
  it('all that was said arrives, however long that takes, and nothing is called undelivered', async () => {
    const scene = await open({ text: LONG, relay: { lossRate: 0.2, seed: 11, delayMs: 20 } });
    const page = await scene.call();
    await scene.spoken(page, 4000);
    await page.evaluate('void parley.call.ended.then((end) => { window.end = end; })');
    await page.click('#talk');
    const report = await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    expect(await page.evaluate('window.end')).toEqual({ error: undefined, undeliveredMs: 0 });
    const arrived = () => scene.cluster.realtime.audit().at(-1);
    await expect
      .poll(() => arrived()?.microphoneSamples, { timeout: 20_000 })
      .toBe(report.microphone!.samples);
    expect(arrived()?.microphoneHash).toBe(report.microphone!.hash);
  });
});

describe('a caller mutes and speaks on', () => {
  it('each stretch arrives whole and in order, and nothing of what was said while muted', async () => {
    const scene = await open({ text: LONG });
    const page = await scene.call();
    await scene.spoken(page, 2000);
    await page.click('#mute');
    await scene.until(page, 'the page is muted', ({ muted }) => muted);
    // The last samples of the stretch may still be on their way out of the worklet; after them there are no others.
    const samples = () => scene!.report(page).then(({ microphone }) => microphone!.samples);
    let last = -1;
    let now = await samples();
    while (now !== last) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      [last, now] = [now, await samples()];
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await samples()).toBe(now);
    await page.click('#mute');
    const result = await scene.finish(page);
    expect(result.report.microphone!.stretches).toBe(2);
    expectSampleExact(result);
  });
});
