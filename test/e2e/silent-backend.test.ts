import { afterEach, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const STATE = 'parley_forwarder_backend_state';
const STILL_MS = 20_000;
/** Two probes at their usual interval of 500 ms, and time for the client to send into it. */
const TOLD_WITHIN_MS = 1500;

let cluster: TestCluster;
let client: NodeClient;
afterEach(async () => {
  await client?.close();
  await cluster?.close();
});

/** A session that echoes, and the number of its backend. */
async function open(): Promise<{ sessionId: number; backend: number }> {
  client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
  client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
  const sessionId = client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
  client.wake();
  await client.event('sessionEstablished');
  const { body } = await client.event('response');
  const { backend } = JSON.parse(new TextDecoder().decode(body)) as { backend: string };
  return { sessionId, backend: Number(backend.at(-1)) };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a backend that falls silent', () => {
  it('for 20 seconds, since its process stands still, keeps its calls: they go on when it does', async () => {
    cluster = await startCluster();
    const { sessionId, backend } = await open();
    const { pid } = cluster.backends[backend - 1]!;
    const streamId = client.webTransport.openStream(sessionId, 'bidirectional')!;
    process.kill(pid!, 'SIGSTOP');
    try {
      // Some of the call's audio comes meanwhile, a little at a time.
      for (const endMs = performance.now() + STILL_MS; performance.now() < endMs; ) {
        client.webTransport.writeStream(streamId, new Uint8Array(100).fill(7));
        client.wake();
        await pause(500);
      }
      const metrics = await cluster.forwarderMetrics();
      expect(metric(metrics, STATE, { backend: `backend-${backend}`, state: 'silent' })).toBe(1);
    } finally {
      process.kill(pid!, 'SIGCONT');
    }
    client.webTransport.writeStream(streamId, new Uint8Array(), true);
    client.wake();
    let octets = 0;
    for (let fin = false; !fin; await pause(5)) {
      const chunk = client.webTransport.readStream(streamId);
      octets += chunk?.data.length ?? 0;
      fin = chunk?.fin ?? false;
      expect(client.quicEvents.find(({ type }) => type === 'closed')).toBeUndefined();
    }
    expect(octets % 100).toBe(0);
    expect(octets).toBeGreaterThan(1000);
  });

  it('since its process was killed is dead at once: its callers are told within a second and a half', async () => {
    cluster = await startCluster();
    const { sessionId, backend } = await open();
    const killedMs = performance.now();
    await cluster.backends[backend - 1]!.kill('SIGKILL');
    const streamId = client.webTransport.openStream(sessionId, 'bidirectional')!;
    const timer = setInterval(() => {
      client.webTransport.writeStream(streamId, new Uint8Array(10));
      client.wake();
    }, 50);
    const { reason } = await client.quicEvent('closed').finally(() => clearInterval(timer));
    expect(reason.kind).toBe('stateless-reset');
    expect(performance.now() - killedMs).toBeLessThan(TOLD_WITHIN_MS);
  });
});
