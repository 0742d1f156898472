import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { type Scene, sceneForEachTest } from '../support/scene.ts';

const TEXT = 'This is a sentence of some length, in the middle of which the network goes away for a moment.';
/**
 * Chromium 156 waits before a WebTransport session of a page for 10 ms, and twice as long with each one that did not come to be in the
 * last five minutes: for 10 s behind so many, and for 20 s if a dial of the outage fails as well.
 */
const FAILURES = 10;
/** Chromium gives a silent session up after 6 s: a shorter outage needs no dial. */
const OUTAGE_MS = 10_000;
/** Silence is noticed in 2 s, TCP dialled half a second later and taken a second after the dial; a loaded machine takes its time. */
const TCP_WITHIN_MS = 9000;
/** Chromium's own wait, and the time that the page takes to dial. */
const BACK_WITHIN_MS = 45_000;

const open = sceneForEachTest();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a page is left with whose network went away several times: here sessions that the backend refuses, which are told at once. */
async function useUp(scene: Scene, page: Page): Promise<void> {
  await page.evaluate(`(async () => {
    for (let i = 0; i < ${FAILURES}; i++) {
      const failed = new WebTransport('https://127.0.0.1:${scene.relay.port}/nowhere');
      failed.closed.catch(() => {});
      await failed.ready.catch(() => {});
    }
  })()`);
}

/** The network is gone for a while; gives how long the call had no session, in ms. */
async function outage(scene: Scene, page: Page): Promise<number> {
  scene.relay.setLoss(1);
  const goneAt = performance.now();
  const back = pause(OUTAGE_MS).then(() => scene.relay.setLoss(0));
  await scene.until(page, 'reconnecting is told', ({ timeline }) =>
    timeline.some(({ text }) => /connection is gone/.test(text)),
  );
  await scene.until(page, 'the call goes on', ({ stats }) => (stats?.resumptions ?? 0) > 0);
  const tookMs = performance.now() - goneAt;
  await back;
  return tookMs;
}

test('a page whose browser holds WebTransport back goes on over TCP at once, every sample', async () => {
  const scene = await open({ text: TEXT, relay: { tcp: true }, backends: 1 });
  const { page, microphone } = await scene.callWithScript();
  await useUp(scene, page);
  const said = microphone.say(TEXT);
  expect(await outage(scene, page)).toBeLessThan(TCP_WITHIN_MS);
  await said;
  const result = await scene.finish(page);
  expectSampleExact(result);
  // A machine that is busy for two seconds makes the page attach again, over TCP as well.
  expect(result.report.stats).toMatchObject({ carrier: 'tcp' });
  expect(result.report.stats!.resumptions).toBeGreaterThan(0);
  expect(scene.upstreams).toHaveLength(1);
}, 150_000);

test('where there is no TCP it goes on dialling until the browser lets it through, every sample', async () => {
  const scene = await open({ text: TEXT, backends: 1 });
  const { page, microphone } = await scene.callWithScript();
  await useUp(scene, page);
  const said = microphone.say(TEXT);
  expect(await outage(scene, page)).toBeLessThan(BACK_WITHIN_MS);
  await said;
  const result = await scene.finish(page);
  expectSampleExact(result);
  expect(result.report.stats).toMatchObject({ carrier: 'webtransport', resumptions: 1 });
  expect(scene.upstreams).toHaveLength(1);
}, 200_000);
