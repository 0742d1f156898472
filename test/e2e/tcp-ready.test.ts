import { expect, test } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { sceneForEachTest } from '../support/scene.ts';

/** From the click to `parley.ready` where UDP is blocked, in ms: a second of it is WebTransport's head start. */
const READY_MS = 1500;
/** The same where that is known of the network: within the head start, which is not given then. */
const READY_AGAIN_MS = 1000;
/** A machine may be slow for a moment; the fastest of so many calls counts. */
const ATTEMPTS = 3;

const open = sceneForEachTest();

test('where UDP is blocked the call is ready over TCP soon, sooner the next time, every sample', async () => {
  const scene = await open({
    text: 'How far is it to the moon?',
    relay: { tcp: true, lossRate: 1 },
    backends: 1,
  });
  const page = await scene.openPage();
  const readyMs = { first: [] as number[], again: [] as number[] };
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await page.evaluate('localStorage.clear()');
    for (const which of ['first', 'again'] as const) {
      await page.reload();
      await page.click('#talk');
      const { stats } = await scene.until(page, 'ready', (report) => report.stats?.readyMs !== undefined);
      expect(stats).toMatchObject({ carrier: 'tcp', resumptions: 0 });
      readyMs[which].push(stats!.readyMs);
      await page.click('#talk');
      await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    }
  }
  expect(Math.min(...readyMs.first), JSON.stringify(readyMs)).toBeLessThan(READY_MS);
  expect(Math.min(...readyMs.again), JSON.stringify(readyMs)).toBeLessThan(READY_AGAIN_MS);
  await page.reload();
  await page.click('#talk');
  expectSampleExact(await scene.finish(page));
  expect(scene.relay.stats.toTarget.received).toBeGreaterThan(0);
  expect(scene.relay.stats.toTarget.forwarded).toBe(0);
});
