import { expect, it } from 'vitest';
import { killNetworkService } from '../support/network-service.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { sceneForEachTest } from '../support/scene.ts';

const ONLINE = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
const OFFLINE = { ...ONLINE, offline: true };
/** A first step between dials, and a machine that may be busy. */
const BACK_WITHIN_MS = 8000;

const open = sceneForEachTest();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it("the page's socket is closed under it in mid-sentence and in mid-answer: the same upstream goes on, and nothing is lost", async () => {
  const { scene, log } = await openLogged({ backends: 1, answerSpeed: 1 }, open);
  const call = await RecordedCall.begin(scene, log);
  const lose = async () => {
    const before = await call.report();
    const at = performance.now();
    killNetworkService();
    await call.until('the call goes on', ({ stats }) => stats!.resumptions > before.stats!.resumptions);
    expect(performance.now() - at).toBeLessThan(BACK_WITHIN_MS);
  };
  await call.say();
  await pause(1200);
  await lose();
  await call.until('some of the answer came', ({ answers }) => (answers[0]?.receivedSamples ?? 0) > 12_000);
  await lose();
  const { answers } = await call.report();
  expect(answers).toHaveLength(1);
  await call.answered();
  await call.endWhole();
  expect(log.sessions).toHaveLength(1);
});

it('a browser that says it is offline, though its sockets live, and online again: the session goes on', async () => {
  const { scene, log } = await openLogged({ backends: 1 }, open);
  const call = await RecordedCall.begin(scene, log);
  const cdp = await call.page.context().newCDPSession(call.page);
  await call.say();
  await pause(1000);
  await cdp.send('Network.emulateNetworkConditions', OFFLINE);
  expect(await call.page.evaluate('navigator.onLine')).toBe(false);
  await pause(1500);
  await cdp.send('Network.emulateNetworkConditions', ONLINE);
  await call.answered();
  const { stats } = await call.endWhole();
  expect(stats!.resumptions).toBe(0);
  expect(log.sessions).toHaveLength(1);
});
