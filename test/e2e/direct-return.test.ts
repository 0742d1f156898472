import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPublicSocket } from '../../server/net/index.ts';
import { ChaosCaller } from '../chaos/caller.ts';
import { Upstreams } from '../chaos/upstreams.ts';
import { NodeWebTransport } from '../chaos/web-transport.ts';
import { loadPages } from '../simulation/calls/page-face.ts';
import { Process } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { CLIENT_ADDRESS, SHARED_ADDRESS, Sprayed } from '../support/netpath/spray.ts';
import { SHARED_PORT, SprayedCluster } from '../support/sprayed-cluster.ts';

/**
 * Backends that have the address which callers call: what they send goes past the forwarders. A call in network namespaces of its own, with
 * the page's own code, sample for sample.
 */

const FORWARDER_METRICS = 9100;
const BACKEND_METRICS = 9101;
const TAG = 7;
/** Time for words both ways, in ms. */
const TALK_MS = 6000;

let net: Sprayed;
let cluster: SprayedCluster;
let upstreams: Upstreams;
let caller: ChaosCaller;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 30_000; !condition(); await pause(20))
    if (Date.now() > end || caller.failure !== undefined)
      throw new Error(`no ${what}: ${caller.whereItStands}`);
}

beforeAll(async () => {
  net = await Sprayed.open();
  await net.returnDirectly();
  cluster = new SprayedCluster(net);
  const { certificatePath: certificate, keyPath: key, sha256Hex } = cluster.certificate;
  upstreams = await net.backends.within(() =>
    Upstreams.open(certificate, key, (tag) => (tag === TAG ? caller : undefined)),
  );
  const backend = (index: number) => ({
    upstream: {
      kind: 'local' as const,
      baseUrl: `https://localhost:${upstreams.port}/v1`,
      ca: certificate,
    },
    // Retries go past the forwarder as well.
    retry: 'always' as const,
    directServerReturn: [`${SHARED_ADDRESS}:${SHARED_PORT}`],
    metrics: `127.0.0.1:${BACKEND_METRICS + index}`,
  });
  await cluster.start(backend, `127.0.0.1:${FORWARDER_METRICS}`);
  Object.assign(globalThis, { WebTransport: NodeWebTransport, WebSocket: undefined });
  NodeWebTransport.openSocket = async (port) => ({
    socket: await openPublicSocket({ host: CLIENT_ADDRESS, port: 0 }),
    remote: { host: SHARED_ADDRESS, port },
  });
  const url = `https://localhost:${SHARED_PORT}/voice`;
  caller = new ChaosCaller(await loadPages(), {
    tag: TAG,
    seed: 1,
    frameMs: 40,
    url,
    certificateHashes: [sha256Hex],
  });
}, 120_000);

afterAll(async () => {
  caller?.hangUp();
  await pause(600);
  upstreams?.close();
  await cluster?.close();
  await net?.close();
});

const ask = async (port: number) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();

/** What the forwarders took from callers, and what they gave them, since each was started. */
async function atForwarders(): Promise<{ taken: number; returned: number }> {
  let [taken, returned] = [0, 0];
  for (const { end } of net.forwarders) {
    const text = await end.within(() => ask(FORWARDER_METRICS));
    taken += metric(text, 'parley_forwarder_client_packets_total');
    returned += metric(text, 'parley_forwarder_returned_packets_total');
  }
  return { taken, returned };
}

const atBackend = (i: number) => net.backends.within(() => ask(BACKEND_METRICS + i));

describe('a backend that answers from the address that callers call', () => {
  it('sends all of a call past the forwarders, its Retry too: they give callers nothing', async () => {
    await net.clients.within(() => caller.start());
    expect(caller.failure).toBeUndefined();
    await pause(TALK_MS);
    await until(() => caller.answers.heardSamples > 24_000, 'answer');
    const { taken, returned } = await atForwarders();
    expect(taken).toBeGreaterThan(100);
    expect(returned).toBe(0);
    const texts = [await atBackend(0), await atBackend(1)];
    const sum = (name: string) => texts.reduce((all, text) => all + metric(text, name), 0);
    expect(sum('parley_datagrams_past_forwarder_total')).toBeGreaterThan(100);
    expect(sum('parley_quic_retries_sent_total')).toBeGreaterThan(0);
    expect(caller.sessions).toHaveLength(1);
  });

  it('does not notice that each forwarder is started again, one after the other', async () => {
    for (const i of [0, 1]) {
      await cluster.forwarders[i]!.kill('SIGKILL');
      await cluster.startForwarder(i);
      await pause(500);
    }
    const before = await atForwarders();
    await pause(2000);
    const after = await atForwarders();
    expect(after.taken).toBeGreaterThan(before.taken);
    expect(after.returned).toBe(0);
    expect(caller.sessions).toHaveLength(1);
    expect(caller.touches).toEqual([]);
  });

  it('is killed: the Stateless Reset of another comes from that address too, and the call is restored there', async () => {
    const carries = (await Promise.all([0, 1].map(atBackend))).findIndex(
      (text) => metric(text, 'parley_sessions') > 0,
    );
    await cluster.backends[carries]!.kill('SIGKILL');
    // It dials again at any moment from here on.
    await net.clients.within(() => until(() => caller.sessions.length > 1, 'second session'));
    const text = await atBackend(1 - carries);
    expect(metric(text, 'parley_quic_stateless_resets_sent_total')).toBeGreaterThan(0);
    expect((await atForwarders()).returned).toBe(0);
  });

  it('and no sample is lost or doubled, either way', async () => {
    await caller.finish();
    await until(() => caller.quiet, 'end of what is under way');
    caller.checkWhole();
    const found = [caller.microphone.findings, caller.answers.findings];
    expect(found.flatMap(({ faults }) => faults)).toEqual([]);
    expect(caller.microphone.words.length).toBeGreaterThan(2);
    expect(upstreams.foreign).toBe(0);
  });
});

describe('a direct server return that cannot be', () => {
  it.each([
    {
      name: 'an address of another machine',
      value: ['203.0.113.7:4433'],
      says: /"directServerReturn": 203\.0\.113\.7 is not an address of this machine; put it on the loopback interface \(ip address add 203\.0\.113\.7\/32 dev lo\)\./,
    },
    {
      name: 'every address',
      value: ['0.0.0.0:4433'],
      says: /"directServerReturn\.0": must be the address and the port that callers call, like 203\.0\.113\.7:4433\./,
    },
    { name: 'no list', value: '203.0.113.7:4433', says: /"directServerReturn": must be a list\./ },
  ])('stops the start with one sentence: $name', async ({ value, says }) => {
    const config = {
      name: 'backend-5001',
      cluster: join(cluster.directory, 'cluster.json'),
      certificate: join(cluster.directory, 'cert.pem'),
      key: join(cluster.directory, 'key.pem'),
      upstream: { kind: 'local', baseUrl: 'https://localhost:1/v1', ca: join(cluster.directory, 'cert.pem') },
      tunnel: '127.0.0.1:0',
      directServerReturn: value,
    };
    const backend = new Process('server/main.ts', ['--config', cluster.write('bad.json', config)]);
    await expect(backend.start()).rejects.toThrow(says);
    expect(backend.log.filter((line) => !line.startsWith('{'))).toHaveLength(1);
  });
});
