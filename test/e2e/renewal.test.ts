import { afterEach, describe, expect, it } from 'vitest';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import { encodeMessage, MessageDecoder } from '../../proto/voice/index.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { NodeClient } from '../support/node-client.ts';
import { until } from '../support/realtime.ts';
import { HELLO } from '../support/voice-page.ts';

let cluster: TestCluster | undefined;
const clients: NodeClient[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await cluster?.close();
  cluster = undefined;
});

async function dial(hash: string): Promise<NodeClient> {
  const client = await NodeClient.dial(cluster!.forwarderPort, hash);
  clients.push(client);
  return client;
}

/** Calls as a page does, up to the first word of the upstream. */
async function call(client: NodeClient): Promise<void> {
  const { webTransport } = client;
  const sessionId = webTransport.connectSession({ authority: 'localhost', path: '/voice' });
  client.wake();
  await client.event('sessionEstablished');
  const control = webTransport.openStream(sessionId, 'bidirectional')!;
  webTransport.writeStream(control, encodeMessage(HELLO));
  client.wake();
  const decoder = new MessageDecoder();
  const types: string[] = [];
  await until(
    () => {
      const chunk = webTransport.readStream(control);
      if (chunk !== undefined) decoder.push(chunk.data);
      for (let next = decoder.next(); next !== undefined; next = decoder.next()) types.push(next.type);
      return types.includes('session.created');
    },
    'session.created',
    30_000,
  );
}

describe('a certificate that is renewed while calls run', () => {
  it('is presented to the next caller without a restart, and neither the calls nor the local upstream notice', async () => {
    cluster = await startCluster({ backends: 1 });
    const before = await dial(cluster.certificateHash);
    await call(before);
    const renewed = ensureDevelopmentCertificate(cluster.directory, { hosts: ['localhost', 'renewed.test'] });
    expect(renewed.sha256Hex).not.toBe(cluster.certificateHash);

    const { log } = cluster.backends[0]!;
    await until(
      () => log.some((line) => line.includes('certificate read again')),
      'the backend noticed',
      30_000,
    );
    // The local service still presents the old one, the file that the backend trusts it by holds the new one.
    await call(await dial(renewed.sha256Hex));
    cluster.realtime.renew(renewed.certificatePem, renewed.keyPem);
    await call(await dial(renewed.sha256Hex));
    const { reason } = await (await dial(cluster.certificateHash)).quicEvent('closed');
    expect(reason).toMatchObject({ kind: 'transport' });
    expect(before.connection.closed).toBe(false);
  });
});
