import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const REDIALS = 100;
/** The forwarder is killed and started again before each redial of such a number. */
const RESTART_EVERY = 20;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({
    backends: 2,
    callHost: 'localhost',
    probeIntervalMs: 100,
    holdSocket: true,
  });
});
afterAll(() => cluster?.close());

interface Counts {
  readonly accepted: number;
  readonly steeredAccepted: number;
  readonly steeredRetries: number;
}

async function countsOf(index: number): Promise<Counts> {
  const text = await (await fetch(`http://127.0.0.1:${cluster.backendMetricsPorts[index]}/metrics`)).text();
  return {
    accepted: metric(text, 'parley_quic_connections_accepted_total'),
    steeredAccepted: metric(text, 'parley_quic_steered_accepted_total'),
    steeredRetries: metric(text, 'parley_quic_steered_retries_sent_total'),
  };
}

const nameOf = (index: number) => `${String(cluster.cluster.backends[index]!.serverId)}.localhost`;

async function dial(serverName: string): Promise<void> {
  const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash, { serverName });
  try {
    await client.quicEvent('handshakeConfirmed');
  } finally {
    await client.close();
  }
}

describe('callers who ask for a backend by its name', () => {
  it(`reach it, ${REDIALS} of ${REDIALS}, with the forwarder restarted in between`, async () => {
    for (let i = 0; i < REDIALS; i++) {
      if (i % RESTART_EVERY === RESTART_EVERY - 1) {
        await cluster.forwarder.kill();
        await cluster.forwarder.start();
      }
      const index = i % 2;
      const before = await countsOf(index);
      await dial(nameOf(index));
      expect((await countsOf(index)).accepted, `redial ${i}`).toBe(before.accepted + 1);
    }
    const [one, two] = [await countsOf(0), await countsOf(1)];
    expect([one.accepted, two.accepted]).toEqual([REDIALS / 2, REDIALS / 2]);
    // The fallback hash had picked the other one for some of each.
    expect(one.steeredAccepted).toBe(two.steeredRetries);
    expect(two.steeredAccepted).toBe(one.steeredRetries);
    expect(one.steeredRetries).toBeGreaterThan(0);
    expect(two.steeredRetries).toBeGreaterThan(0);
  });

  it('are accepted where the forwarder takes them when they ask for no backend of the cluster', async () => {
    const before = [await countsOf(0), await countsOf(1)];
    for (const name of ['localhost', 'ffffffffffffffff.localhost']) await dial(name);
    const after = [await countsOf(0), await countsOf(1)];
    const sum = (counts: Counts[], key: keyof Counts) => counts.reduce((all, count) => all + count[key], 0);
    expect(sum(after, 'accepted') - sum(before, 'accepted')).toBe(2);
    expect(sum(after, 'steeredRetries')).toBe(sum(before, 'steeredRetries'));
  });

  it('are accepted by another at the first attempt, after one Retry, when it is dead', async () => {
    await cluster.backends[0]!.kill();
    const labels = { backend: 'backend-1', state: 'dead' };
    const dead = async () =>
      metric(await cluster.forwarderMetrics(), 'parley_forwarder_backend_state', labels);
    await expect.poll(dead, { timeout: 10_000 }).toBe(1);
    const before = await countsOf(1);
    await dial(nameOf(0));
    expect(await countsOf(1)).toEqual({
      accepted: before.accepted + 1,
      steeredAccepted: before.steeredAccepted + 1,
      steeredRetries: before.steeredRetries + 1,
    });
  });
});
