import { expect, test } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { serveVoice } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

test('an upstream that was refused before the hello came ends the call in its words', async () => {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const upstream = new FakeUpstream();
  const message = 'The Realtime API refused the call: the key is not valid.';
  upstream.end({ code: 'upstream_refused', message, closeCode: undefined });
  const served = serveVoice(server, {
    ...voiceContext(upstream),
  });
  await page.start();
  await until(() => page.closeInfo !== undefined, 'the session is closed');
  await served;
  expect(page.closeInfo).toEqual({ closeCode: SessionCloseCode.UPSTREAM_REFUSED, reason: message });
  expect(page.find('parley.error')).toMatchObject({ code: 'upstream_refused', message });
});
