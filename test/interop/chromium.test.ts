import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startCluster } from '../support/cluster.ts';
import { createRelay } from '../support/relay.ts';
import { backendLogged } from './support/backends.ts';
import { cell } from './support/matrix.ts';
import {
  connectionCloseCell,
  drainingCell,
  endingStreamCells,
  type Setting,
  w3cCells,
} from './support/w3c-cells.ts';
import { startChromium } from './support/w3c-client.ts';

let setting: Setting;
beforeAll(async () => {
  const cluster = await startCluster({ backends: 2, probeIntervalMs: 100 });
  const relay = await createRelay({ target: { port: cluster.forwarderPort } });
  setting = { cluster, relay, client: await startChromium() };
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

describe('Chromium', () => {
  w3cCells('Chromium', () => setting);
  endingStreamCells('Chromium', () => setting);

  cell('Chromium', 'close code and reason to the server', 'the backend logs them', async () => {
    const id = await setting.client.call<number>('open', target('/echo'));
    await setting.client.call('close', { id, closeCode: 4242, reason: 'grüße' });
    await backendLogged(
      setting.cluster,
      (line) => line.msg === 'session closed' && line.closeCode === 4242 && line.reason === 'grüße',
    );
  });

  cell('Chromium', 'close code and reason to the client', '`closed` gives those of the bridge', async () => {
    const seen = await setting.client.call('malformedVoice', target('/voice'));
    expect(seen).toEqual({ closeCode: 2, reason: expect.stringContaining('a message has no "type"') });
  });

  drainingCell('Chromium', () => setting);
  connectionCloseCell('Chromium', () => setting);
});
