import { expect, test } from 'vitest';
import { serveVoice } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

test('a page’s event that asks for another audio format is refused, with the field’s name; the call goes on', async () => {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const upstream = new FakeUpstream();
  const served = serveVoice(server, {
    ...voiceContext(upstream),
  });
  upstream.open();
  await page.start();
  const format = { type: 'audio/pcmu' };
  const update = { type: 'session.update', session: { type: 'realtime', audio: { input: { format } } } };
  const create = { type: 'response.create', response: { audio: { output: { format } } } };
  const beta = { type: 'session.update', session: { output_audio_format: 'g711_ulaw' } };
  const good = {
    type: 'session.update',
    session: { audio: { output: { format: { type: 'audio/pcm', rate: 24_000 } } } },
  };
  await page.send(update);
  await page.send(create);
  const ordered: { type: string } = Object.assign(
    { microphoneSamples: 0, event: beta },
    { type: 'parley.ordered' },
  );
  await page.send(ordered);
  await page.send(good);
  await until(() => upstream.events.length > 0, 'what passes');
  expect(upstream.events).toEqual([good]);
  const refusals = page.messages.filter((message) => message.type === 'parley.error');
  const because = 'a call carries audio/pcm of 24000 Hz, and nothing else; leave the format out.';
  expect(refusals).toEqual(
    [
      'session.update from a page: session.audio.input.format is "audio/pcmu"',
      'response.create from a page: response.audio.output.format is "audio/pcmu"',
      'session.update from a page: session.output_audio_format is "g711_ulaw"',
    ].map((what) => ({
      type: 'parley.error',
      code: 'event_refused',
      message: `This backend does not take ${what}: ${because}`,
      retry: false,
    })),
  );
  client.close();
  await served;
});
