import { afterAll, beforeAll, describe } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { createRelay } from '../support/relay.ts';
import { backendLogged } from './support/backends.ts';
import { cell } from './support/matrix.ts';
import { drainingCell, type Setting, w3cCells } from './support/w3c-cells.ts';
import { startDeno } from './support/w3c-client.ts';

let setting: Setting;
beforeAll(async () => {
  const cluster = await startCluster({ backends: 2, probeIntervalMs: 100 });
  const relay = await createRelay({ target: { port: cluster.forwarderPort } });
  setting = { cluster, relay, client: await startDeno() };
});
afterAll(async () => {
  await setting?.client.close();
  await setting?.relay.close();
  await setting?.cluster.close();
});

const target = (path: string) => ({
  url: `https://127.0.0.1:${setting.relay.port}${path}`,
  hash: setting.cluster.certificateHash,
});

describe('Deno', () => {
  w3cCells('Deno', () => setting);

  const shows = 'the backend logs them, as those of the connection: Deno sends no capsule';
  cell('Deno', 'close code and reason to the server', shows, async () => {
    const id = await setting.client.call<number>('open', target('/echo'));
    await setting.client.call('close', { id, closeCode: 4242, reason: 'grüße' });
    await backendLogged(setting.cluster, ({ msg, reason }) => {
      const { code, reason: words } = (reason ?? {}) as { code?: number; reason?: string };
      return msg === 'connection closed' && code === 4242 && words === 'grüße';
    });
  });

  cell('Deno', 'connection close', 'the backend logs an end by the peer', async () => {
    const id = await setting.client.call<number>('open', target('/echo'));
    await setting.client.call('close', { id, closeCode: 77, reason: 'done' });
    await backendLogged(setting.cluster, ({ msg, reason }) => {
      const { by, code } = (reason ?? {}) as { by?: string; code?: number };
      return msg === 'connection closed' && by === 'peer' && code === 77;
    });
  });

  drainingCell('Deno', () => setting);
});
