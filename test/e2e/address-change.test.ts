import type { Page } from 'playwright-core';
import { afterEach, describe, expect, it } from 'vitest';
import { REDIAL_STEPS_MS } from '../../browser/redial.ts';
import { type Netpath, openNetpath } from '../support/netpath/index.ts';
import { expectSampleExact } from '../support/sample-exact.ts';
import { type Scene, sceneForEachTest } from '../support/scene.ts';

const LONG =
  'This is a sentence of some length, in the middle of which the caller leaves one network for another one.';
const ROUND_TRIP_MS = 40;
/** The first step of redialling; two browsers' worth of processes on one machine take their time on top. */
const STEP_MS = REDIAL_STEPS_MS[0];
const MACHINE_MS = 700;

const open = sceneForEachTest();
let path: Netpath | undefined;
afterEach(async () => {
  await path?.close();
  path = undefined;
});

/** The caller is in a network of their own, whose way to the server takes 20 ms. */
async function callOverPath(): Promise<{
  scene: Scene;
  page: Page;
  say: () => Promise<number>;
  on: Netpath;
}> {
  path = await openNetpath({ delayMs: ROUND_TRIP_MS / 2 });
  const scene = await open({ text: LONG, backends: 1, answerSpeed: 1, path });
  const { page, microphone } = await scene.callWithScript();
  return { scene, page, say: () => microphone.say(LONG), on: path };
}

/** From this moment until the upstream has audio that the page took after it, in ms. */
async function untilAudio({ cluster }: Scene, since: number, samples: number): Promise<number> {
  const heard = () => Math.max(...cluster.realtime.audit().map((audit) => audit.microphoneSamples));
  while (heard() <= samples) await new Promise((resolve) => setTimeout(resolve, 5));
  return performance.now() - since;
}

describe.each([
  ['the new one is up before the old one goes', true],
  ['the old one goes before the new one is up', false],
])('the address of the caller is replaced, %s', (_, newFirst) => {
  it.each([
    ['in mid-sentence', false],
    ['in mid-answer', true],
  ])('%s: the call goes on by itself, and no sample is lost or doubled', async (_where, inAnswer) => {
    const { scene, page, say, on } = await callOverPath();
    await say();
    if (inAnswer) await scene.untilInAnswer(page);
    const since = await on.left.replaceAddress({ newFirst, gapMs: 300 });
    const { microphone, answers } = await scene.report(page);
    if (inAnswer) expect(answers[0]!.complete).toBe(false);
    const tookMs = await untilAudio(scene, since, microphone!.samples);
    expect(tookMs).toBeLessThan(3 * ROUND_TRIP_MS + STEP_MS + MACHINE_MS);
    const result = await scene.finish(page);
    expectSampleExact(result);
    expect(result.report.stats!.resumptions).toBeGreaterThan(0);
    expect(scene.upstreams).toHaveLength(1);
  });
});
