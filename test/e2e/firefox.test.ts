import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionAudit } from '../../server/realtime/local/index.ts';
import { type ServedPage, serveDemoPage } from '../support/chromium.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { Firefox, type FirefoxPage } from '../support/firefox.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import type { PageReport } from '../support/scene.ts';

let cluster: TestCluster;
let relay: Relay;
let served: ServedPage;
let firefox: Firefox;
beforeAll(async () => {
  cluster = await startCluster({ backends: 1 });
  relay = await createRelay({ target: { port: cluster.forwarderPort }, tcp: true });
  served = await serveDemoPage(relay.port, cluster.certificateHash);
  firefox = await Firefox.launch({}, { takesEveryCertificate: true });
}, 120_000);
afterAll(async () => {
  await firefox?.close();
  served?.close();
  await relay?.close();
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
  it.each([
    ['WebTransport', 'webtransport', 0],
    ['TCP, where UDP is blocked', 'tcp', 1],
  ])(
    'speaks over %s, hears the answer, and hangs up while speaking: every sample arrives, and the page has no error',
    async (_, carrier, loss) => {
      relay.setLoss(loss);
      const page = await firefox.open(served.url);
      await page.click('#talk');
      await page.until('the microphone is live', "parley.state === 'ready'");
      await page.evaluate('void parley.call.ended.then((end) => { window.end = end; })');
      // Firefox's own fake microphone is a tone without end, so the page says where a turn ends.
      await page.evaluate(`parley.call.send({ type: 'session.update', session: { type: 'realtime',
      audio: { input: { turn_detection: null } } } })`);
      await page.until('a second was spoken', 'parley.microphone.samples > 24_000');
      await page.evaluate(`(parley.call.send({ type: 'input_audio_buffer.commit' }),
      void parley.call.send({ type: 'response.create' }))`);
      await page.until('the answer was heard', 'parley.answers.some((answer) => answer.finished)');
      await page.click('#talk');
      await page.until('the call ended', "parley.state === 'idle'");

      const said = await report(page);
      expect(said.stats).toMatchObject({ carrier, resumptions: 0 });
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
      relay.setLoss(0);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(page.console.filter((line) => line.startsWith('error'))).toEqual([]);
      await page.close();
    },
  );

  it('who has not answered the question for the microphone is not "listened" to, though the line is ready', async () => {
    const page = await firefox.open(served.url);
    await page.evaluate(`(() => {
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (what) => {
        await new Promise((resolve) => { window.allow = resolve; });
        return ask(what);
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
