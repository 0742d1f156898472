import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionAudit } from '../../server/realtime/local/index.ts';
import { type ServedPage, serveDemoPage } from '../support/chromium.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { Firefox, type FirefoxPage } from '../support/firefox.ts';
import type { PageReport } from '../support/scene.ts';
import { SCRIPTED_MICROPHONE, sayExpression } from '../support/scripted-microphone.ts';

const SENTENCE = 'Hello there, can you hear me?';
const LONG =
  'This is a sentence of some length, so that there is time to hang up in the middle of its words.';

let cluster: TestCluster;
let served: ServedPage;
let firefox: Firefox;
beforeAll(async () => {
  cluster = await startCluster({ backends: 1 });
  served = await serveDemoPage(cluster.forwarderPort, cluster.certificateHash);
  firefox = await Firefox.launch();
}, 120_000);
afterAll(async () => {
  await firefox?.close();
  served?.close();
  await cluster?.close();
});

const report = (page: FirefoxPage) =>
  page.evaluate<PageReport>(`({ state: parley.state, microphone: parley.microphone, answers: parley.answers,
    stats: parley.stats })`);

/** What the upstream had of this call's microphone; it may still be on its way there. */
async function upstreamOf({ microphone }: PageReport): Promise<SessionAudit | undefined> {
  const end = Date.now() + 10_000;
  for (;;) {
    const found = cluster.realtime.audit().find(({ microphoneHash }) => microphoneHash === microphone?.hash);
    if (found !== undefined || Date.now() > end) return found ?? cluster.realtime.audit().at(-1);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a caller in Firefox', () => {
  it('speaks, hears the answer, and hangs up while speaking: every sample arrives, and the page has no error', async () => {
    const page = await firefox.open(served.url);
    await page.evaluate(SCRIPTED_MICROPHONE);
    await page.click('#talk');
    await page.until('the microphone is live', "parley.state === 'ready'");
    await page.evaluate('void parley.call.ended.then((end) => { window.end = end; })');
    await page.evaluate(sayExpression(SENTENCE));
    await page.until(
      'the answer was heard',
      'parley.answers.length > 0 && parley.answers.every((a) => a.finished)',
    );
    await page.evaluate(sayExpression(LONG));
    const spoken = (await report(page)).microphone!.samples;
    await page.until('the caller is in mid-sentence', `parley.microphone.samples > ${spoken + 48_000}`);
    await page.click('#talk');
    await page.until('the call ended', "parley.state === 'idle'");

    const said = await report(page);
    expect(await page.evaluate<object>('window.end')).toEqual({ undeliveredMs: 0 });
    expect(await upstreamOf(said)).toMatchObject({
      microphoneSamples: said.microphone!.samples,
      microphoneHash: said.microphone!.hash,
    });
    for (const answer of said.answers.filter(({ cleared }) => !cleared)) {
      expect(answer.playedSamples).toBe(answer.receivedSamples);
      expect(answer.playedHash).toBe(answer.receivedHash);
    }
    expect(said.answers[0]?.finished).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(page.console.filter((line) => line.startsWith('error'))).toEqual([]);
    await page.close();
  });

  it('who has not answered the question for the microphone is not "listened" to, though the line is ready', async () => {
    const page = await firefox.open(served.url);
    await page.evaluate(SCRIPTED_MICROPHONE);
    await page.evaluate(`(() => {
      const ask = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async () => {
        await new Promise((resolve) => { window.allow = resolve; });
        return ask();
      };
    })()`);
    await page.click('#talk');
    await page.until('the line is ready', "parley.call?.state === 'ready'");
    const texts = () =>
      page.evaluate<string[]>(
        `['#status', '#connection'].map((id) => document.querySelector(id).textContent)`,
      );
    expect(await texts()).toEqual([
      'Waiting for the microphone. Allow it if the browser asks.',
      'In call, no microphone',
    ]);
    await page.evaluate('void window.allow()');
    await page.until('the microphone is live', "parley.state === 'ready'");
    expect((await texts())[0]).toMatch(/^Listening/);
    expect((await report(page)).microphone!.samples).toBeGreaterThan(0);
    await page.click('#talk');
    await page.until('the call ended', "parley.state === 'idle'");
    await page.close();
  });
});
