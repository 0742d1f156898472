import { describe, expect } from 'vitest';
import { backendLogged } from './support/backends.ts';
import { cell } from './support/matrix.ts';
import {
  addressOf,
  connectionCloseCell,
  drainingCell,
  endingStreamCells,
  useSetting,
  w3cCells,
} from './support/w3c-cells.ts';
import { startFirefox } from './support/w3c-client.ts';

const setting = useSetting(startFirefox);
const open = (path: string) => setting().client.call<number>('open', addressOf(setting(), path));

describe('Firefox', () => {
  w3cCells('Firefox', setting);
  endingStreamCells('Firefox', setting);

  cell('Firefox', 'close code and reason to the server', 'the backend logs them', async () => {
    const id = await open('/echo');
    await setting().client.call('close', { id, closeCode: 4242, reason: 'grüße' });
    await backendLogged(
      setting().cluster,
      (line) => line.msg === 'session closed' && line.closeCode === 4242 && line.reason === 'grüße',
    );
  });

  cell('Firefox', 'close code and reason to the client', '`closed` gives those of the bridge', async () => {
    const seen = await setting().client.call('malformedVoice', addressOf(setting(), '/voice'));
    expect(seen).toEqual({ closeCode: 2, reason: expect.stringContaining('a message has no "type"') });
  });

  drainingCell('Firefox', setting);
  connectionCloseCell('Firefox', setting, 'remote WebTransport close');
});
