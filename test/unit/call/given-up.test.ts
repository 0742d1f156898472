import { pino } from 'pino';
import { expect, it } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { type Call, serveVoice } from '../../../server/bridge/index.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

it.each([
  ['gives its session up: the call waits for the next', SessionCloseCode.INTERNAL, false],
  ['hangs up: the call is over', SessionCloseCode.NORMAL, true],
])('a page that %s', async (_, closeCode, over) => {
  let waiting = 0;
  const calls = new CallTable<Call>({
    resumeSeconds: 60,
    maxWaiting: 10,
    onWaiting: (count) => {
      waiting = count;
    },
  });
  const upstream = new FakeUpstream();
  const { client, server } = memorySessionPair();
  const served = serveVoice(server, {
    backend: 'backend-1',
    serverId: '0001',
    upstreamKind: 'local',
    openUpstream: () => upstream,
    resume: { calls, sealer: new Sealer(new Uint8Array(32)) },
    logger: pino({ level: 'silent' }),
  });
  const page = await new VoicePage(client).start();
  upstream.open();
  await until(() => page.find('parley.ready') !== undefined, 'the call is ready');
  client.close({ closeCode, reason: 'a stream broke off' });
  await served;
  expect(upstream.closed).toBe(over);
  expect(waiting).toBe(over ? 0 : 1);
  calls.close();
});
