import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { backendMetric } from './support/backends.ts';
import { answers, gtlsclient, ONCE } from './support/gtlsclient.ts';
import { cell } from './support/matrix.ts';
import { BUILD_MS, buildQuicGo, type QuicGoAnswers, type QuicGoTrace } from './support/quic-go.ts';
import { unchanged } from './support/w3c-cells.ts';
import { type Echoed, startChromium, startDeno, startFirefox, type W3cClient } from './support/w3c-client.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2, retry: 'always' });
});
afterAll(() => cluster?.close());

const retries = () => backendMetric(cluster, 'parley_quic_retries_sent_total');

async function session(client: W3cClient, untilEnd: boolean): Promise<void> {
  const before = await retries();
  const url = `https://127.0.0.1:${cluster.forwarderPort}/echo`;
  try {
    const id = await client.call<number>('open', { url, hash: cluster.certificateHash });
    unchanged(await client.call<Echoed>('echoBidirectional', { id, octets: 1000, untilEnd }), 1000, untilEnd);
  } finally {
    await client.close();
  }
  expect(await retries()).toBeGreaterThan(before);
}

describe('backends that demand a Retry', () => {
  cell(
    'ngtcp2',
    'Retry',
    'the client prints a Retry, comes back with its token, and is answered',
    async () => {
      const before = await retries();
      const output = await gtlsclient(cluster.forwarderPort, ONCE);
      expect(output).toMatch(/pkt rx .*type=Retry/);
      expect(answers(output)).toBe(1);
      expect(await retries()).toBe(before + 1);
    },
  );

  cell('Chromium', 'Retry', 'a backend counts one, and the session echoes', async () => {
    await session(await startChromium(), true);
  });

  cell('Firefox', 'Retry', 'a backend counts one, and the session echoes', async () => {
    await session(await startFirefox(), true);
  });

  cell('Deno', 'Retry', 'a backend counts one, and the session echoes', async () => {
    await session(startDeno(), false);
  });

  const shows = 'the client says that it had one, and is answered';
  cell(
    'quic-go',
    'Retry',
    shows,
    async () => {
      const quicGo = await buildQuicGo();
      const client = quicGo.start(cluster.forwarderPort, cluster.certificatePath);
      try {
        expect((await client.call<QuicGoAnswers>('get', {})).statuses).toEqual({ 200: 1 });
        expect((await client.call<QuicGoTrace>('trace', {})).retries).toBe(1);
      } finally {
        await client.close();
        quicGo.remove();
      }
    },
    BUILD_MS,
  );
});
