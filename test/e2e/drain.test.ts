import { afterEach, describe, expect, it } from 'vitest';
import { SessionCloseCode } from '../../proto/voice/index.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const STATE = 'parley_forwarder_backend_state';

let cluster: TestCluster;
const clients: NodeClient[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await cluster?.close();
});

async function openEcho(): Promise<{ client: NodeClient; sessionId: number; backend: string }> {
  const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
  clients.push(client);
  client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
  const sessionId = client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
  client.wake();
  await client.event('sessionEstablished');
  const { body } = await client.event('response');
  const { backend } = JSON.parse(new TextDecoder().decode(body)) as { backend: string };
  return { client, sessionId, backend };
}

async function echo(client: NodeClient, sessionId: number, text: string): Promise<string> {
  const streamId = client.webTransport.openStream(sessionId, 'bidirectional')!;
  client.webTransport.writeStream(streamId, new TextEncoder().encode(text), true);
  client.wake();
  let answer = '';
  for (let end = Date.now() + 30_000; Date.now() < end; ) {
    const chunk = client.webTransport.readStream(streamId);
    if (chunk) answer += new TextDecoder().decode(chunk.data);
    if (chunk?.fin) return answer;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`the echo of "${text}" did not come`);
}

async function untilState(backend: string, state: string): Promise<void> {
  for (let end = Date.now() + 30_000; Date.now() < end; ) {
    if (metric(await cluster.forwarderMetrics(), STATE, { backend, state }) === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${backend} did not become ${state}:\n${await cluster.forwarderMetrics()}`);
}

describe('a backend that ends', () => {
  it('drains after SIGTERM: its calls go on, the caller is told, newcomers land elsewhere', async () => {
    cluster = await startCluster({ drainSeconds: 20, probeIntervalMs: 60 });
    const { client, sessionId, backend } = await openEcho();
    const draining = cluster.backends[Number(backend.at(-1)) - 1]!;
    const ended = draining.kill('SIGTERM');
    await client.event('sessionDraining');
    await untilState(backend, 'silent');
    for (let i = 0; i < 8; i++) expect((await openEcho()).backend).not.toBe(backend);
    // It answers that it lives, and its port is open: it is not taken for dead.
    await new Promise((resolve) => setTimeout(resolve, 60 * 60));
    expect(metric(await cluster.forwarderMetrics(), STATE, { backend, state: 'dead' })).toBe(0);
    expect(await echo(client, sessionId, 'still here')).toBe('still here');
    // A browser ends its session and keeps the connection: the backend need not wait for it.
    client.webTransport.closeSession(sessionId, 0, 'done');
    client.wake();
    const { reason } = await client.quicEvent('closed');
    expect(reason).toMatchObject({ kind: 'application', by: 'peer', reason: 'draining' });
    await ended;
  });

  it('ends with calls in progress: pages are told that it shuts down, a second SIGTERM does not wait', async () => {
    cluster = await startCluster({ drainSeconds: 60, backends: 1 });
    const { client: other } = await openEcho();
    const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
    clients.push(client);
    client.webTransport.connectSession({ authority: 'localhost', path: '/voice' });
    client.wake();
    await client.event('sessionEstablished');
    const ended = cluster.backends[0]!.kill('SIGTERM');
    await other.event('sessionDraining');
    void cluster.backends[0]!.kill('SIGTERM');
    const { code, reason } = await client.event('sessionClosed');
    expect(code).toBe(SessionCloseCode.SHUTTING_DOWN);
    expect(reason).toContain('shut down');
    await other.quicEvent('closed');
    await ended;
  });

  it('dies: its callers are told by a Stateless Reset of another backend, before their idle timeout', async () => {
    cluster = await startCluster({ probeIntervalMs: 60 });
    const { client, sessionId, backend } = await openEcho();
    await cluster.backends[Number(backend.at(-1)) - 1]!.kill('SIGKILL');
    await untilState(backend, 'dead');
    client.webTransport.writeStream(
      client.webTransport.openStream(sessionId, 'bidirectional')!,
      new Uint8Array(10),
    );
    client.wake();
    const { reason } = await client.quicEvent('closed');
    expect(reason.kind).toBe('stateless-reset');
  });
});
