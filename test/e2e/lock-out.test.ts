import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { type QuicConnection, QuicEndpoint } from '../../proto/quic/index.ts';
import { fromHex } from '../../proto/wire/index.ts';
import { EndpointDriver, openPublicSocket } from '../../server/net/index.ts';
import { type ClusterOptions, startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const CROWD = 3000;
/** Connections of the crowd that are being made at a time. */
const AT_ONCE = 60;
const CROWDED_MS = 240_000;
/** What a caller may wait, in ms. It shares this process with the crowd, so this bounds being served, not how fast. */
const SERVED_WITHIN_MS = 20_000;

let cluster: TestCluster;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(limits: ClusterOptions['limits']): Promise<void> {
  cluster = await startCluster({ backends: 1, probeIntervalMs: 100, limits });
  cleanups.push(() => cluster.close());
}

const random = (length: number) => new Uint8Array(randomBytes(length));

/** Connections of one address that ask for nothing and stay. `opened` of them were made. */
class Crowd {
  opened = 0;
  readonly #connecting = new Set<QuicConnection>();
  readonly #endpoint: QuicEndpoint;
  readonly #driver: EndpointDriver;
  readonly #socket: Awaited<ReturnType<typeof openPublicSocket>>;

  private constructor(socket: Awaited<ReturnType<typeof openPublicSocket>>) {
    this.#socket = socket;
    this.#endpoint = new QuicEndpoint({
      random,
      connectionIdGenerator: { length: 8, generate: () => random(8) },
      wallClockEpochMs: Date.now(),
    });
    this.#driver = new EndpointDriver(this.#endpoint, [socket], (item) => {
      if (item.type !== 'event') return;
      if (item.event.type === 'connected') this.opened += 1;
      if (item.event.type === 'connected' || item.event.type === 'closed')
        this.#connecting.delete(item.connection);
    });
  }

  static async from(host: string): Promise<Crowd> {
    const crowd = new Crowd(await openPublicSocket({ host, port: 0 }));
    cleanups.push(() => crowd.#driver.close());
    return crowd;
  }

  /** Dials so often. Not at once: a client that cannot follow would prove nothing of the server. */
  async dial(count: number): Promise<void> {
    const trust = { kind: 'hashes', sha256: [fromHex(cluster.certificateHash)!] } as const;
    const remote = { host: '127.0.0.1', port: cluster.forwarderPort };
    const options = {
      remote,
      local: this.#socket.local,
      serverName: 'localhost',
      alpnProtocols: ['h3'],
      trust,
    };
    for (let dialled = 0; dialled < count; ) {
      for (; dialled < count && this.#connecting.size < AT_ONCE; dialled++)
        this.#connecting.add(this.#endpoint.connect(options, this.#driver.now()));
      this.#driver.wake();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await expect.poll(() => this.#connecting.size, { timeout: 30_000 }).toBe(0);
  }
}

async function backend(name: string, labels: Record<string, string> = {}): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${cluster.backendMetricsPorts[0]}/metrics`);
  return metric(await answer.text(), name, labels);
}

/** What operators are told. */
async function health(): Promise<{ code: number; status: string; reason?: string }> {
  const answer = await fetch(`http://127.0.0.1:${cluster.backendMetricsPorts[0]}/healthz`);
  return { code: answer.status, ...((await answer.json()) as { status: string; reason?: string }) };
}

const forwarderSays = async (state: string) =>
  metric(await cluster.forwarderMetrics(), 'parley_forwarder_backend_state', { backend: 'backend-1', state });

/** A caller's session and what /healthz told it, over the same connection; it stays. */
async function call(host: string): Promise<{ client: NodeClient; status: string; tookMs: number }> {
  const begun = performance.now();
  const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash, { host });
  cleanups.push(() => client.close());
  client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
  client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
  client.wake();
  await client.event('sessionEstablished').catch((error: Error) => {
    const closed = client.quicEvents.find(({ type }) => type === 'closed');
    throw new Error(`${error.message}; ${JSON.stringify(closed)}`);
  });
  const { body } = await client.event('response');
  const { status } = JSON.parse(new TextDecoder().decode(body)) as { status: string };
  return { client, status, tookMs: performance.now() - begun };
}

describe('connections that ask for nothing', () => {
  it(
    `${CROWD} of one address keep no caller of another one out, and operators are not told that the backend is full`,
    async () => {
      await start({ connectionsPerAddress: 100, maxConnections: 400, firstRequestSeconds: 5 });
      const crowd = await Crowd.from('127.0.0.2');
      const dialling = crowd.dial(CROWD);
      let done = false;
      void dialling.then(() => {
        done = true;
      });
      const callers: Awaited<ReturnType<typeof call>>[] = [];
      let most = 0;
      while (!done) {
        callers.push(await call('127.0.0.3'));
        most = Math.max(most, await backend('parley_quic_connections'));
        expect(await health()).toMatchObject({ code: 200, status: 'ok' });
        await callers.at(-1)!.client.close();
      }
      expect(crowd.opened).toBeGreaterThan(CROWD / 2);
      expect(callers.length).toBeGreaterThan(3);
      for (const { status, tookMs } of callers) {
        expect(status).toBe('ok');
        expect(tookMs).toBeLessThan(SERVED_WITHIN_MS);
      }
      // 100 of the crowd, those whose address is not proved yet, a caller; and those that were closed, for three probe timeouts.
      expect(most).toBeLessThan(CROWD / 3);
      expect(
        await backend('parley_idle_connections_closed_total', { reason: 'address-full' }),
      ).toBeGreaterThan(CROWD / 4);
      // What is left has its time, and no more.
      await expect.poll(() => backend('parley_quic_connections'), { timeout: 30_000 }).toBe(0);
      expect(await backend('parley_idle_connections_closed_total', { reason: 'no-request' })).toBeGreaterThan(
        0,
      );
    },
    CROWDED_MS,
  );

  it(
    'as many as the backend takes, of many addresses, give their places to callers',
    async () => {
      await start({ connectionsPerAddress: 100, maxConnections: 150, firstRequestSeconds: 60 });
      for (const host of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await (await Crowd.from(host)).dial(100);
      await expect
        .poll(() => backend('parley_quic_connections'), { timeout: 20_000 })
        .toBeGreaterThanOrEqual(150);
      expect(await health()).toMatchObject({ code: 200, status: 'ok' });
      for (let i = 0; i < 5; i++) expect((await call('127.0.0.5')).status).toBe('ok');
      expect(
        await backend('parley_idle_connections_closed_total', { reason: 'backend-full' }),
      ).toBeGreaterThanOrEqual(5);
    },
    CROWDED_MS,
  );
});

describe('a backend whose sessions are all in use', () => {
  it('says so to operators, callers and forwarders, and takes new calls as soon as one ends', async () => {
    await start({ maxSessions: 2 });
    const first = await call('127.0.0.2');
    expect(first.status).toBe('ok');
    await call('127.0.0.2');
    await expect.poll(() => forwarderSays('silent'), { timeout: 10_000 }).toBe(1);
    expect(await health()).toMatchObject({
      code: 503,
      status: 'full',
      reason: expect.stringContaining('All 2 sessions are in use'),
    });
    // Those who are there are answered.
    first.client.events.length = 0;
    first.client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
    first.client.wake();
    const { status, body } = await first.client.event('response');
    expect(status).toBe(503);
    expect(new TextDecoder().decode(body)).toContain('"status":"full"');

    await first.client.close();
    await expect.poll(health, { timeout: 10_000 }).toMatchObject({ code: 200, status: 'ok' });
    await expect.poll(() => forwarderSays('taking new'), { timeout: 10_000 }).toBe(1);
    expect((await call('127.0.0.3')).tookMs).toBeLessThan(SERVED_WITHIN_MS);
  });
});
