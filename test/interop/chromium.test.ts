import { describe, expect } from 'vitest';
import { backendLogged } from './support/backends.ts';
import { cell } from './support/matrix.ts';
import {
  addressOf,
  connectionCloseCell,
  drainingCell,
  endingStreamCells,
  streamCodesCell,
  useSetting,
  w3cCells,
} from './support/w3c-cells.ts';
import { startChromium } from './support/w3c-client.ts';

const setting = useSetting(startChromium);
const open = (path: string) => setting().client.call<number>('open', addressOf(setting(), path));

describe('Chromium', () => {
  w3cCells('Chromium', setting);
  endingStreamCells('Chromium', setting);
  streamCodesCell('Chromium', setting);

  cell('Chromium', 'close code and reason to the server', 'the backend logs them', async () => {
    const id = await open('/echo');
    await setting().client.call('close', { id, closeCode: 4242, reason: 'grüße' });
    await backendLogged(
      setting().cluster,
      (line) => line.msg === 'session closed' && line.closeCode === 4242 && line.reason === 'grüße',
    );
  });

  cell('Chromium', 'close code and reason to the client', '`closed` gives those of the bridge', async () => {
    const seen = await setting().client.call('malformedVoice', addressOf(setting(), '/voice'));
    expect(seen).toEqual({ closeCode: 2, reason: expect.stringContaining('a message has no "type"') });
  });

  drainingCell('Chromium', setting);
  connectionCloseCell('Chromium', setting, 'Connection lost');
});
