import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { advanceRotation } from '../../proto/quic-lb/index.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const CALLS = 20;
/** The bound that the project sets itself; here it takes a second or two. */
const MOVED_WITHIN_MS = 60_000;

let cluster: TestCluster;
const clients: NodeClient[] = [];
beforeAll(async () => {
  cluster = await startCluster({ backends: 2, probeIntervalMs: 100 });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await cluster?.close();
});

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let end = Date.now() + 30_000; !condition(); ) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const path = () => join(cluster.directory, 'cluster.json');
const content = () => JSON.parse(readFileSync(path(), 'utf8')) as Record<string, unknown>;
const processes = () => [cluster.forwarder, ...cluster.backends];
const signal = (name: NodeJS.Signals) => {
  for (const { pid } of processes()) process.kill(pid!, name);
};

/** Writes a file, and waits until every process has taken it, or refused it, as `what` says. */
async function give(file: Record<string, unknown>, what: RegExp): Promise<void> {
  const count = () => processes().map(({ log }) => log.filter((line) => what.test(line)).length);
  const before = count();
  writeFileSync(path(), JSON.stringify(file));
  signal('SIGHUP');
  await until(() => count().every((now, i) => now > before[i]!), `all processes to say ${what}`);
}

const TAKEN = /cluster file (taken up|read again)/;

const packets = async (rotation: number) =>
  metric(await cluster.forwarderMetrics(), 'parley_forwarder_rotation_packets_total', {
    rotation: String(rotation),
  });

/** Each client asks for a sign of life, and gets it. */
async function pingAll(): Promise<void> {
  const before = clients.map(({ connection }) => connection.stats().packetsReceived);
  for (const client of clients) {
    client.connection.ping();
    client.wake();
  }
  await until(
    () => clients.every(({ connection }, i) => connection.stats().packetsReceived > before[i]!),
    'every call to answer',
  );
}

describe('a rotation under calls, with processes', () => {
  it(`moves ${CALLS} calls to the new configuration in three files, and loses none`, async () => {
    for (let i = 0; i < CALLS; i++) {
      const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
      clients.push(client);
      client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
      client.wake();
      await client.event('sessionEstablished');
    }
    await pingAll();
    expect(await packets(0)).toBeGreaterThan(CALLS);
    expect(await packets(1)).toBe(0);
    const step = async () => {
      const next = advanceRotation(content(), () => randomBytes(16).toString('hex'));
      if (typeof next === 'string') throw new Error(next);
      await give(next.file, TAKEN);
    };
    await step();
    await pingAll();
    expect(await packets(1)).toBe(0);

    const movedAtMs = performance.now();
    await step();
    let old = -1;
    // Moved is when a whole round of all calls leaves the old rotation's counter where it was.
    while (old !== (await packets(0))) {
      old = await packets(0);
      await pingAll();
    }
    expect(performance.now() - movedAtMs).toBeLessThan(MOVED_WITHIN_MS);
    // Each call has answered from there at least once; one round more has all of them beyond any late packet.
    await pingAll();
    expect(await packets(1)).toBeGreaterThan(CALLS);

    await step();
    await pingAll();
    expect(clients.filter(({ connection }) => connection.closed)).toHaveLength(0);
    expect(content().quicLb).toMatchObject([{ configRotation: 1 }]);
  });

  it('a codepoint that comes back with another key is refused by all in one sentence, and calls go on', async () => {
    const before = content();
    const [now] = before.quicLb as object[];
    await give(
      { ...before, quicLb: [{ ...now, key: 'ab'.repeat(16) }] },
      /Config rotation 1 is in use with another key/,
    );
    await pingAll();
    const [first, second] = before.backends as object[];
    const twice = { ...second, serverId: (first as { serverId: string }).serverId };
    await give({ ...before, backends: [first, twice] }, /have the same serverId for config rotation 1/);
    await pingAll();
    for (const [workers, fault] of [
      [0, 'must be 1 at least'],
      [1000, 'must be 128 at most'],
    ] as const)
      await give(
        { ...before, backends: [{ ...(first as object), workers }, second] },
        new RegExp(`backends\\[0\\]\\.workers ${fault}`),
      );
    await pingAll();
    await give(before, TAKEN);
  });

  it('a name that DNS does not know is told in one sentence, and the others go on', async () => {
    const before = content();
    const backends = before.backends as object[];
    const unknown = { name: 'third', serverId: 'fe'.repeat(8), tunnel: 'nowhere.invalid:5001' };
    await give(
      { ...before, backends: [...backends, unknown], forwarders: ['127.0.0.1', 'nowhere.invalid'] },
      /nowhere\.invalid has no address \([A-Z_]+\): it is left out until it has one/,
    );
    await pingAll();
    expect(clients.filter(({ connection }) => connection.closed)).toHaveLength(0);
    await give(before, TAKEN);
  });
});
