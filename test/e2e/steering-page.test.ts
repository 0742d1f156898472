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

/** Those of which WebTransport does not answer, so that TCP is the first. */
const TCP_REDIALS = 5;

/**
 * In the page: sessions can be lost, as by a change of networks, WebTransport can be without an answer, and dials are counted. A redial
 * goes over TCP as well where WebTransport is slow, as on a machine that is busy.
 */
const LOSABLE = `(() => {
  const Socket = globalThis.WebSocket;
  const sockets = new Set();
  globalThis.dialledTcp = [];
  globalThis.WebSocket = class extends Socket {
    constructor(...how) {
      super(...how);
      dialledTcp.push(String(how[0]));
      sockets.add(this);
    }
  };
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
    get ready() { return globalThis.udpBlocked ? new Promise(() => {}) : super.ready; }
    static loseAll() {
      for (const one of all) {
        one.#lose(new Error('the network changed'));
        one.close({ closeCode: ${SessionCloseCode.INTERNAL}, reason: 'lost' });
      }
      all.clear();
      for (const one of sockets) one.close();
      sockets.clear();
    }
  };
})()`;

const open = sceneForEachTest();

interface Counts {
  readonly accepted: number;
  readonly overTcp: number;
  readonly steeredAccepted: number;
  readonly steeredRetries: number;
}

async function countsOf(scene: Scene, index: number): Promise<Counts> {
  const url = `http://127.0.0.1:${scene.cluster.backendMetricsPorts[index]}/metrics`;
  const text = await (await fetch(url)).text();
  return {
    accepted: metric(text, 'parley_quic_connections_accepted_total'),
    overTcp: metric(text, 'parley_tcp_sessions_total'),
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
  // On a slow machine a dial without an answer is followed by another one to the same name, over TCP or not.
  const came = after.map(
    (counts, i) => counts.accepted + counts.overTcp - before[i]!.accepted - before[i]!.overTcp,
  );
  expect(came[0]).toBeGreaterThanOrEqual(REDIALS);
  expect(came[1]).toBe(0);
  // The fallback hash had picked the other one for some.
  expect(after[1].steeredRetries).toBeGreaterThan(0);
  expect(after[0].steeredAccepted).toBe(after[1].steeredRetries);
  const dialled = (await page.evaluate('dialled')) as string[];
  expect(new Set(dialled.slice(1).map((url) => new URL(url).hostname))).toEqual(new Set([name]));
  expectSampleExact(await scene.finish(page));
  expect(scene.upstreams).toHaveLength(1);
});

it(`a page whose redials WebTransport does not answer reaches its backend over TCP, ${TCP_REDIALS} of ${TCP_REDIALS}`, async () => {
  const { scene, page, owner } = await call(1000);
  const before = [await countsOf(scene, owner), await countsOf(scene, 1 - owner)] as const;
  // On a slow machine the first dial was raced too, at the URL that the page was given.
  await page.evaluate('globalThis.udpBlocked = true; dialledTcp.length = 0');
  for (let i = 1; i <= TCP_REDIALS; i++) {
    await page.evaluate('WebTransport.loseAll()');
    const { stats } = await scene.until(page, `redial ${i}`, (report) => report.stats!.resumptions >= i);
    expect(stats, `redial ${i}`).toMatchObject({ backend: `backend-${owner + 1}`, carrier: 'tcp' });
  }
  const name = `${String(scene.cluster.cluster.backends[owner]!.serverId)}.localhost`;
  const dialled = (await page.evaluate('dialledTcp')) as string[];
  expect(new Set(dialled.map((url) => new URL(url).hostname))).toEqual(new Set([name]));
  const after = [await countsOf(scene, owner), await countsOf(scene, 1 - owner)] as const;
  expect(after[0].overTcp - before[0].overTcp).toBeGreaterThanOrEqual(TCP_REDIALS);
  expect(after[1].overTcp - before[1].overTcp).toBe(0);
  const steered = metric(await scene.cluster.forwarderMetrics(), 'parley_forwarder_tcp_steered_total', {
    backend: `backend-${owner + 1}`,
  });
  expect(steered).toBeGreaterThanOrEqual(TCP_REDIALS);
  // The same conversation all the time: every sample came to one upstream.
  expectSampleExact(await scene.finish(page));
  expect(scene.upstreams).toHaveLength(1);
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
    overTcp: before.overTcp,
    steeredAccepted: before.steeredAccepted + 1,
    steeredRetries: before.steeredRetries + 1,
  });
  const result = await scene.finishAfter(page, ({ answers }) => answers.some(({ finished }) => finished));
  // All that was said is said to the new upstream.
  expect(result.upstream.microphoneSamples).toBe(result.report.microphone!.samples);
  expect(result.upstream.microphoneHash).toBe(result.report.microphone!.hash);
});
