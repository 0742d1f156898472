import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { SessionCloseCode } from '../../proto/voice/index.ts';
import { metric } from '../support/metrics.ts';
import { expectSampleExact } from '../support/sample-exact.ts';
import { type Scene, sceneForEachTest } from '../support/scene.ts';

const REDIALS = 100;
/** The forwarder is killed and started again before each redial of such a number. */
const RESTART_EVERY = 25;
/** Long enough that it is still being said when the last redial is done, on most machines; what is silent counts as well. */
const TEXT = 'Now I talk while my page dials a hundred times, and each time it wants the same backend.';

/**
 * In the page: sessions can be lost, as by a change of networks, and dials are counted. Without calls over TCP, which are not steered:
 * on a slow machine one may be ready first.
 */
const LOSABLE = `(() => {
  delete globalThis.WebSocket;
  const Real = globalThis.WebTransport;
  const all = new Set();
  globalThis.dialled = [];
  globalThis.WebTransport = class extends Real {
    #lose;
    #closed;
    constructor(...how) {
      super(...how);
      const lost = new Promise((_, reject) => { this.#lose = reject; });
      this.#closed = Promise.race([super.closed, lost]);
      this.#closed.catch(() => {});
      dialled.push(String(how[0]));
      all.add(this);
    }
    get closed() { return this.#closed; }
    static loseAll() {
      for (const one of all) {
        one.#lose(new Error('the network changed'));
        one.close({ closeCode: ${SessionCloseCode.INTERNAL}, reason: 'lost' });
      }
      all.clear();
    }
  };
})()`;

const open = sceneForEachTest();

interface Counts {
  readonly accepted: number;
  readonly steeredAccepted: number;
  readonly steeredRetries: number;
}

async function countsOf(scene: Scene, index: number): Promise<Counts> {
  const url = `http://127.0.0.1:${scene.cluster.backendMetricsPorts[index]}/metrics`;
  const text = await (await fetch(url)).text();
  return {
    accepted: metric(text, 'parley_quic_connections_accepted_total'),
    steeredAccepted: metric(text, 'parley_quic_steered_accepted_total'),
    steeredRetries: metric(text, 'parley_quic_steered_retries_sent_total'),
  };
}

async function call(probeIntervalMs: number): Promise<{ scene: Scene; page: Page; owner: number }> {
  const scene = await open({
    text: TEXT,
    backends: 2,
    callHost: 'localhost',
    probeIntervalMs,
    holdSocket: true,
    direct: true,
    // The socket that outlives the forwarder is one of IPv4.
    flags: ['--host-resolver-rules=MAP *.localhost 127.0.0.1'],
  });
  const page = await scene.openPage('/', LOSABLE);
  await page.click('#talk');
  const { stats } = await scene.until(
    page,
    'the call is ready',
    (report) => report.stats?.backend !== undefined,
  );
  return { scene, page, owner: Number(stats!.backend.at(-1)) - 1 };
}

it(`a page that loses its session ${REDIALS} times reaches its backend each time, with the forwarder restarted in between`, {
  timeout: 300_000,
}, async () => {
  const { scene, page, owner } = await call(1000);
  const other = 1 - owner;
  const name = `${String(scene.cluster.cluster.backends[owner]!.serverId)}.localhost`;
  const before = [await countsOf(scene, owner), await countsOf(scene, other)] as const;
  for (let i = 1; i <= REDIALS; i++) {
    if (i % RESTART_EVERY === 0) await restartForwarder(scene, page);
    await page.evaluate('WebTransport.loseAll()');
    const { stats } = await scene.until(page, `redial ${i}`, (report) => report.stats!.resumptions >= i);
    expect(stats!.backend, `redial ${i}`).toBe(`backend-${owner + 1}`);
  }
  const after = [await countsOf(scene, owner), await countsOf(scene, other)] as const;
  // On a slow machine a dial without an answer for 1.5 s is followed by a second one, to the same name.
  expect(after[0].accepted - before[0].accepted).toBeGreaterThanOrEqual(REDIALS);
  expect(after[1].accepted - before[1].accepted).toBe(0);
  // The fallback hash had picked the other one for some.
  expect(after[1].steeredRetries).toBeGreaterThan(0);
  expect(after[0].steeredAccepted).toBe(after[1].steeredRetries);
  const dialled = (await page.evaluate('dialled')) as string[];
  expect(new Set(dialled.slice(1).map((url) => new URL(url).hostname))).toEqual(new Set([name]));
  expectSampleExact(await scene.finish(page));
  expect(scene.cluster.realtime.audit()).toHaveLength(1);
});

/** A page that says nothing meanwhile does not look for another session: that is not what is counted. */
async function restartForwarder(scene: Scene, page: Page): Promise<void> {
  await page.click('#mute');
  await scene.until(page, 'all was acknowledged', ({ microphone }) => microphone!.keptMs === 0);
  await scene.cluster.forwarder.kill();
  await scene.cluster.forwarder.start();
  await page.click('#mute');
}

it('a page whose backend is killed is restored by the other at its first attempt, by the name of the dead one', async () => {
  const { scene, page, owner } = await call(100);
  await scene.spoken(page, 2000);
  const name = `${String(scene.cluster.cluster.backends[owner]!.serverId)}.localhost`;
  const before = await countsOf(scene, 1 - owner);
  await scene.cluster.backends[owner]!.kill();
  const { stats } = await scene.until(page, 'the call goes on', (report) => report.stats!.resumptions === 1);
  expect(stats!.backend).toBe(`backend-${2 - owner}`);
  const dialled = (await page.evaluate('dialled')) as string[];
  expect(dialled.slice(1).map((url) => new URL(url).hostname)).toEqual([name]);
  const after = await countsOf(scene, 1 - owner);
  expect(after).toEqual({
    accepted: before.accepted + 1,
    steeredAccepted: before.steeredAccepted + 1,
    steeredRetries: before.steeredRetries + 1,
  });
  const result = await scene.finishAfter(page, ({ answers }) => answers.some(({ finished }) => finished));
  // All that was said is said to the new upstream.
  expect(result.upstream.microphoneSamples).toBe(result.report.microphone!.samples);
  expect(result.upstream.microphoneHash).toBe(result.report.microphone!.hash);
});
