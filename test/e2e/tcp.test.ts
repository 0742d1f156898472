import { expect, test } from 'vitest';
import { metric } from '../support/metrics.ts';
import { expectSampleExact } from '../support/sample-exact.ts';
import { sceneForEachTest } from '../support/scene.ts';

const QUESTION = 'How far is it to the moon?';
const LONG =
  'This is a sentence of some length, in the middle of which the network lets other packets through again.';

const open = sceneForEachTest();

test('a browser without WebTransport calls over TCP through the forwarder, every sample', async () => {
  const scene = await open({ text: QUESTION, relay: { tcp: true } });
  const page = await scene.openPage('/', 'delete globalThis.WebTransport');
  await page.click('#talk');
  const result = await scene.finish(page);
  expectSampleExact(result);
  expect(result.report.stats).toMatchObject({ carrier: 'tcp', resumptions: 0 });
  const metrics = await scene.cluster.forwarderMetrics();
  expect(metric(metrics, 'parley_forwarder_tcp_accepted_total')).toBe(1);
});

test('where TCP is taken at another port, by tcpUrl, a call goes there when UDP is blocked, every sample', async () => {
  const scene = await open({ text: QUESTION, relay: { lossRate: 1 }, tcpElsewhere: true });
  const page = await scene.call();
  const result = await scene.finish(page);
  expectSampleExact(result);
  expect(result.report.stats).toMatchObject({ carrier: 'tcp', resumptions: 0 });
  expect(metric(await scene.cluster.forwarderMetrics(), 'parley_forwarder_tcp_accepted_total')).toBe(1);
});

test.each([
  ['in mid-sentence', false],
  ['in mid-answer', true],
])(
  'when UDP comes through again, %s, the call moves back to WebTransport, every sample',
  async (_, inAnswer) => {
    const scene = await open({
      text: LONG,
      relay: { tcp: true, lossRate: 1 },
      backends: 1,
      answerSpeed: 1,
    });
    const { page, microphone } = await scene.callWithScript();
    const said = microphone.say(LONG);
    if (inAnswer) {
      await said;
      await scene.untilInAnswer(page);
    }
    scene.relay.setLoss(0);
    const moved = await scene.until(
      page,
      'WebTransport carries it',
      ({ stats }) => stats?.carrier === 'webtransport',
    );
    expect(moved.answers.some(({ complete }) => complete)).toBe(false);
    await said;
    const result = await scene.finish(page);
    expectSampleExact(result);
    expect(result.report.stats).toMatchObject({ carrier: 'webtransport', resumptions: 1 });
    // The dial that UDP swallowed may arrive late, at a backend that then opens an upstream in vain.
    expect(scene.cluster.realtime.audit().filter(({ answers }) => answers.length > 0)).toHaveLength(1);
  },
);

test.each([
  ['in mid-sentence', false],
  ['in mid-answer', true],
])(
  'a TCP connection that is reset %s: the same conversation goes on over the next, every sample',
  async (_, inAnswer) => {
    const scene = await open({ text: LONG, relay: { tcp: true, lossRate: 1 }, backends: 1, answerSpeed: 1 });
    const { page, microphone } = await scene.callWithScript();
    await microphone.say(LONG);
    if (inAnswer) await scene.untilInAnswer(page);
    scene.relay.cutTcp();
    const back = await scene.until(page, 'the call goes on', ({ stats }) => (stats?.resumptions ?? 0) > 0);
    expect(back.answers.some(({ complete }) => complete)).toBe(false);
    const result = await scene.finish(page);
    expectSampleExact(result);
    expect(result.report.stats!.carrier).toBe('tcp');
    expect(scene.upstreams).toHaveLength(1);
  },
);
