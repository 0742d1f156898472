import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { backendMetric } from './support/backends.ts';
import { answers, gtlsclientTo, ONCE } from './support/gtlsclient.ts';
import { cell } from './support/matrix.ts';
import { startChromium, startDeno, type W3cClient } from './support/w3c-client.ts';

const CALLS = 12;

let cluster: TestCluster;
/** For clients that resolve no names below localhost by themselves. */
let hosts: string;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2, callHost: 'localhost' });
  hosts = join(cluster.directory, 'hosts');
  writeFileSync(hosts, `127.0.0.1 localhost ${nameOf(0)} ${nameOf(1)}\n`);
});
afterAll(() => cluster?.close());

const steeredRetries = () => backendMetric(cluster, 'parley_quic_steered_retries_sent_total');
const nameOf = (index: number) => `${String(cluster.cluster.backends[index]!.serverId)}.localhost`;

async function acceptedBy(index: number): Promise<number> {
  const url = `http://127.0.0.1:${cluster.backendMetricsPorts[index]}/metrics`;
  return metric(await (await fetch(url)).text(), 'parley_quic_connections_accepted_total');
}

/** Calls each backend by its name in turn, twelve times in all, and looks whether it was the one that took the call. */
async function allReach(call: (serverName: string) => Promise<void>): Promise<void> {
  const before = await steeredRetries();
  for (let i = 0; i < CALLS; i++) {
    const accepted = await acceptedBy(i % 2);
    await call(nameOf(i % 2));
    expect(await acceptedBy(i % 2), `call ${i}`).toBe(accepted + 1);
  }
  // The fallback hash had picked the other one at least once: else is a chance of 1 in 4096.
  expect(await steeredRetries()).toBeGreaterThan(before);
}

describe('backends that are called by name', () => {
  cell(
    'ngtcp2',
    'steering by Retry',
    `${CALLS} of ${CALLS} reach the backend that the SNI names`,
    async () => {
      await allReach(async (name) => {
        expect(answers(await gtlsclientTo(name, hosts, cluster.forwarderPort, ONCE))).toBe(1);
      });
    },
  );

  const session = async (client: W3cClient) => {
    try {
      await allReach(async (name) => {
        const url = `https://${name}:${cluster.forwarderPort}/echo`;
        await client.call<number>('open', { url, hash: cluster.certificateHash });
      });
    } finally {
      await client.close();
    }
  };

  cell('Deno', 'steering by Retry', `${CALLS} of ${CALLS} reach the backend that the URL names`, async () => {
    await session(startDeno(hosts));
  });

  cell(
    'Chromium',
    'steering by Retry',
    `${CALLS} of ${CALLS} reach the backend that the URL names`,
    async () => {
      await session(await startChromium());
    },
  );
});
