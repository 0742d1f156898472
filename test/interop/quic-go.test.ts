import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import { backendLogged, backendMetric } from './support/backends.ts';
import { cell, type Feature } from './support/matrix.ts';
import {
  BUILD_MS,
  buildQuicGo,
  type QuicGo,
  type QuicGoAnswers,
  type QuicGoTrace,
} from './support/quic-go.ts';
import { unchanged } from './support/w3c-cells.ts';
import type { Echoed, LineClient } from './support/w3c-client.ts';

const MEBIBYTE = 1024 * 1024;
const P256 = 23;
const P384 = 24;
const P521 = 25;
const X25519 = 29;
const VERSION_2 = 0x70_9a_50_c4;
const DRAFT_29 = 0xff_00_00_1d;

let quicGo: QuicGo;
let cluster: TestCluster;
let relay: Relay;
const clients: LineClient[] = [];
beforeAll(async () => {
  quicGo = await buildQuicGo();
  cluster = await startCluster({ backends: 2 });
  relay = await createRelay({ target: { port: cluster.forwarderPort } });
}, BUILD_MS);
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});
afterAll(async () => {
  await relay?.close();
  await cluster?.close();
  quicGo?.remove();
});

function start(...options: string[]): LineClient {
  const client = quicGo.start(relay.port, cluster.certificatePath, ...options);
  clients.push(client);
  return client;
}
const get = (client: LineClient, input: object = {}) => client.call<QuicGoAnswers>('get', input);
const trace = (client: LineClient) => client.call<QuicGoTrace>('trace', {});
const quicgo = (feature: Feature, shows: string, run: () => Promise<void>) =>
  cell('quic-go', feature, shows, run);

describe('quic-go over its own HTTP/3', () => {
  quicgo(
    'handshake',
    'the certificate is trusted as a root, and GET /healthz is answered by a backend',
    async () => {
      const { statuses, body } = await get(start());
      expect(statuses).toEqual({ 200: 1 });
      expect(body).toMatch(/backend-[12]/);
    },
  );

  for (const [feature, group] of [
    ['X25519', X25519],
    ['P-256', P256],
  ] as const) {
    quicgo(feature, 'a client that offers no other group is answered', async () => {
      expect((await get(start('-curves', `${group}`))).statuses).toEqual({ 200: 1 });
    });
  }

  quicgo('HelloRetryRequest', 'a client with a key share of P-384 alone is sent to P-256', async () => {
    const client = start('-curves', `${P384},${P256}`);
    expect((await get(client)).statuses).toEqual({ 200: 1 });
    // Two ClientHellos in Initial packets, the second one behind the first.
    expect((await trace(client)).largestInitialCryptoOffset).toBeGreaterThan(0);
  });

  quicgo('nothing in common: a TLS alert', 'handshake_failure, with the reason in words', async () => {
    await expect(get(start('-curves', `${P521}`))).rejects.toThrow(/0x128.*no key exchange group in common/);
  });

  quicgo('Version Negotiation', 'a client of draft-29 is told of version 1, and takes it', async () => {
    const client = start('-versions', `${DRAFT_29},1`);
    expect((await get(client)).statuses).toEqual({ 200: 1 });
    expect(await trace(client)).toMatchObject({ versionNegotiations: 1 });
  });

  quicgo('QUIC version 2 first, then 1', 'Version Negotiation, then a handshake in version 1', async () => {
    const client = start('-versions', `${VERSION_2},1`);
    expect((await get(client)).statuses).toEqual({ 200: 1 });
    const { versionNegotiations, versions } = await trace(client);
    expect(versionNegotiations).toBe(1);
    expect(versions?.at(-1)).toBe(1);
  });

  const early =
    'our ticket allows none, so a request that may go early waits for the handshake, and is answered';
  quicgo('0-RTT is refused, and the request answered', early, async () => {
    const client = start();
    await get(client);
    await client.call('reconnect', {});
    expect((await get(client, { early: true })).statuses).toEqual({ 200: 1 });
    expect((await trace(client)).earlyPackets).toBe(0);
  });

  quicgo('key update', 'the client begins some, has each confirmed, and is answered after them', async () => {
    const client = start('-key-update', '50');
    for (let i = 0; i < 5; i++) expect((await get(client, { count: 100 })).statuses).toEqual({ 200: 100 });
    expect((await trace(client)).keyUpdates).toBeGreaterThan(1);
  });

  quicgo('small flow-control windows', 'an answer comes through a window of 20 octets', async () => {
    expect((await get(start('-window', '20'))).statuses).toEqual({ 200: 1 });
  });

  quicgo('many streams', '700 requests on a connection that begins with 512 streams', async () => {
    expect((await get(start(), { count: 700 })).statuses).toEqual({ 200: 700 });
  });

  quicgo('a request with a body', '5000 octets are answered with 405, a mebibyte with 413', async () => {
    const client = start();
    for (const [octets, status] of [
      [5000, 405],
      [MEBIBYTE, 413],
    ] as const)
      expect((await client.call<QuicGoAnswers>('post', { octets })).statuses).toEqual({ [status]: 1 });
  });

  quicgo('20 % loss each way', 'handshake and 50 requests', async () => {
    relay.setLoss(0.2);
    try {
      expect((await get(start(), { count: 50 })).statuses).toEqual({ 200: 50 });
    } finally {
      relay.setLoss(0);
    }
    expect(relay.stats.toTarget.lost).toBeGreaterThan(0);
  });

  quicgo('NAT rebinding', 'the backend asks at the new address, and answers there', async () => {
    const before = await backendMetric(cluster, 'parley_path_changes_total');
    const client = start();
    await get(client);
    await relay.rebind();
    expect((await get(client, { count: 20 })).statuses).toEqual({ 200: 20 });
    expect((await trace(client)).pathChallenges).toBeGreaterThan(0);
    const changes = () => backendMetric(cluster, 'parley_path_changes_total');
    await expect.poll(changes, { timeout: 10_000 }).toBeGreaterThan(before);
  });

  quicgo('connection close', "the backend logs the client's code and reason", async () => {
    const client = start();
    await get(client);
    await client.call('close', { code: 0x100, reason: 'done' });
    await backendLogged(cluster, ({ msg, reason }) => {
      const { by, code, reason: words } = (reason ?? {}) as { by?: string; code?: number; reason?: string };
      return msg === 'connection closed' && by === 'peer' && code === 0x100 && words === 'done';
    });
  });
});

describe('WebTransport framed by the test over quic-go', () => {
  const open = async (path = '/echo'): Promise<LineClient> => {
    const client = start();
    expect(await client.call<string>('open', { path })).toBe('200');
    return client;
  };
  const echo = async (client: LineClient, octets: number, kind = 'bidi') =>
    unchanged(await client.call<Echoed>('echo', { kind, octets }), octets, true);

  quicgo('WebTransport session, and its refusal', '200 on /echo; refused with 404 elsewhere', async () => {
    await open();
    expect(await start().call<string>('open', { path: '/nowhere' })).toBe('404');
  });

  quicgo('bidirectional streams', '100 000 random octets come back with the same SHA-256', async () => {
    await echo(await open(), 100_000);
  });

  quicgo(
    'unidirectional streams both ways',
    '100 000 random octets come back on a stream of ours',
    async () => {
      await echo(await open(), 100_000, 'uni');
    },
  );

  quicgo('10 MiB there and back', 'the same SHA-256', async () => {
    await echo(await open(), 10 * MEBIBYTE);
  });

  quicgo('20 % loss each way', 'a session and 200 000 octets, unchanged', async () => {
    relay.setLoss(0.2);
    try {
      await echo(await open(), 200_000);
    } finally {
      relay.setLoss(0);
    }
  });

  quicgo('NAT rebinding', 'the session goes on', async () => {
    const client = await open();
    await echo(client, 1000);
    await relay.rebind();
    await echo(client, 100_000);
  });

  quicgo('datagrams', '50 of 1000 octets come back unchanged', async () => {
    const seen = await (await open()).call('datagrams', { count: 50, octets: 1000 });
    expect(seen).toEqual({ unchanged: 50 });
  });

  quicgo('reset and stop codes both ways', 'each comes back as the same code', async () => {
    const client = await open();
    for (const code of [7, 0xff]) {
      expect(await client.call('reset', { code })).toEqual({ code });
      expect(await client.call('stop', { code })).toEqual({ code });
    }
  });

  quicgo('close code and reason to the server', 'the backend logs them', async () => {
    await (await open()).call('closeSession', { code: 4242, reason: 'grüße' });
    await backendLogged(
      cluster,
      (line) => line.msg === 'session closed' && line.closeCode === 4242 && line.reason === 'grüße',
    );
  });

  quicgo('close code and reason to the client', 'the capsule has those of the bridge', async () => {
    const seen = await (await open('/voice')).call('closedSession', {});
    expect(seen).toEqual({ closeCode: 2, reason: expect.stringContaining('a message has no "type"') });
  });
});
