import { afterEach, expect, it } from 'vitest';
import { concat } from '../../../proto/wire/index.ts';
import { interruptsResponse } from '../../../server/bridge/reasons.ts';
import { HookedBackend } from '../../support/hooked-backend.ts';
import { until } from '../../support/realtime.ts';

let backend: HookedBackend;
afterEach(() => backend?.close());

it('an upstream that speaks as the API’s beta did is heard and read', async () => {
  backend = new HookedBackend({});
  const page = await backend.call();
  const place = { response_id: 'r', item_id: 'i', output_index: 0, content_index: 0 };
  const pcm = Buffer.alloc(4800, 7);
  backend.socket.emit(
    { type: 'response.created', response: { id: 'r', status: 'in_progress', output: [] } },
    { type: 'response.audio_transcript.delta', ...place, delta: 'Hello.' },
    { type: 'response.audio.delta', ...place, delta: pcm.toString('base64') },
    { type: 'response.audio.done', ...place },
    { type: 'response.done', response: { id: 'r', status: 'completed', output: [] } },
  );
  await until(() => page.answers[0]?.ended === true, 'the answer');
  expect(Buffer.from(concat(page.answers[0]!.chunks)).equals(pcm)).toBe(true);
  await until(() => page.types().includes('response.output_audio_transcript.delta'), 'its words');
});

it('whether speech interrupts is read where the API has it and where its beta had it', () => {
  const off = { turn_detection: { type: 'server_vad', interrupt_response: false } };
  expect(interruptsResponse({ type: 'session.updated', session: off })).toBe(false);
  expect(interruptsResponse({ type: 'session.updated', session: { audio: { input: off } } })).toBe(false);
  for (const session of [{}, null, { turn_detection: null }, { audio: { input: { turn_detection: null } } }])
    expect(interruptsResponse({ type: 'session.updated', session })).toBe(true);
});
