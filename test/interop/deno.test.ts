import { describe } from 'vitest';
import { backendLogged } from './support/backends.ts';
import { cell } from './support/matrix.ts';
import { addressOf, drainingCell, useSetting, w3cCells } from './support/w3c-cells.ts';
import { startDeno } from './support/w3c-client.ts';

const setting = useSetting(startDeno);
const open = (path: string) => setting().client.call<number>('open', addressOf(setting(), path));

describe('Deno', () => {
  w3cCells('Deno', setting);

  const shows = 'the backend logs them, as those of the connection: Deno sends no capsule';
  cell('Deno', 'close code and reason to the server', shows, async () => {
    const id = await open('/echo');
    await setting().client.call('close', { id, closeCode: 4242, reason: 'grüße' });
    await backendLogged(setting().cluster, ({ msg, reason }) => {
      const { code, reason: words } = (reason ?? {}) as { code?: number; reason?: string };
      return msg === 'connection closed' && code === 4242 && words === 'grüße';
    });
  });

  cell('Deno', 'connection close', 'the backend logs an end by the peer', async () => {
    const id = await open('/echo');
    await setting().client.call('close', { id, closeCode: 77, reason: 'done' });
    await backendLogged(setting().cluster, ({ msg, reason }) => {
      const { by, code } = (reason ?? {}) as { by?: string; code?: number };
      return msg === 'connection closed' && by === 'peer' && code === 77;
    });
  });

  drainingCell('Deno', setting);
});
