import { afterEach, describe, expect, test } from 'vitest';
import { type Message, StreamCode } from '../../../proto/voice/index.ts';
import { serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function call(context: Partial<VoiceContext> = {}) {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const upstream = new FakeUpstream().open();
  const served = serveVoice(server, {
    ...voiceContext(upstream),
    ...context,
  });
  ends.push(async () => {
    client.close();
    await served;
  });
  await page.start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { page, upstream };
}

const pcm = (samples: number) => new Uint8Array(samples * 2).fill(7);
const SPEECH: Message = { type: 'input_audio_buffer.speech_started', item_id: 'user', audio_start_ms: 0 };
const created = (id: string, more: object = {}): Message => ({
  type: 'response.created',
  response: { id, ...more },
});
const ended = (id: string, status: string, reason?: string): Message => ({
  type: 'response.done',
  response: { id, status, ...(reason !== undefined && { status_details: { reason } }) },
});

/** One second of an answer has come whole, a quarter of it was heard. */
async function answering(context: Partial<VoiceContext> = {}) {
  const made = await call(context);
  const { page, upstream } = made;
  upstream.emit(created('resp_1'));
  upstream.delta('item_1', pcm(24_000));
  await until(() => page.answers[0]?.chunks.length === 1, 'the audio');
  await page.position('item_1', 6000, false);
  return made;
}

const clears = (page: VoicePage) =>
  page.messages.filter(({ type }) => type === 'parley.playback.clear').map(({ responseIds }) => responseIds);
const truncations = (upstream: FakeUpstream) =>
  upstream.sent
    .filter(({ type }) => type === 'conversation.item.truncate')
    .map((event) => {
      const { item_id, audio_end_ms } = event as unknown as { item_id: string; audio_end_ms: number };
      return [item_id, audio_end_ms];
    });
/** Everything that was sent to the upstream before this was read. */
async function settled(page: VoicePage, upstream: FakeUpstream): Promise<void> {
  const sent = upstream.events.filter(({ type }) => type === 'session.update').length;
  await page.send({ type: 'session.update' });
  await until(
    () => upstream.events.filter(({ type }) => type === 'session.update').length > sent,
    'what was sent last',
  );
}

describe('what stops an answer', () => {
  test.each<[string, (made: Awaited<ReturnType<typeof call>>) => unknown]>([
    ['speech', ({ upstream }) => upstream.emit(SPEECH)],
    ['response.cancel', ({ page }) => page.send({ type: 'response.cancel' })],
    [
      'response.cancel by ID',
      ({ page }) => page.send({ type: 'response.cancel', response_id: 'resp_1' } as { type: string }),
    ],
    ['output_audio_buffer.clear', ({ page }) => page.send({ type: 'output_audio_buffer.clear' })],
    ['parley.interrupt', ({ page }) => page.send({ type: 'parley.interrupt' })],
    ['a response that was cancelled', ({ upstream }) => upstream.emit(ended('resp_1', 'cancelled'))],
    ['a response that failed', ({ upstream }) => upstream.emit(ended('resp_1', 'failed'))],
    [
      'a response that a filter stopped',
      ({ upstream }) => upstream.emit(ended('resp_1', 'incomplete', 'content_filter')),
    ],
  ])('%s: the stream is reset, the page told, and the item truncated at what was heard', async (_, stop) => {
    const made = await answering();
    const { page, upstream } = made;
    await stop(made);
    await until(() => clears(page).length === 1, 'the clear');
    expect(clears(page)).toEqual([['resp_1']]);
    await until(() => page.answers[0]?.resetCode === StreamCode.BARGE_IN, 'the reset');
    await page.position('item_1', 12_000, true);
    await page.cleared('resp_1');
    await settled(page, upstream);
    expect(truncations(upstream)).toEqual([['item_1', 500]]);
  });

  test('an item that the page truncates itself is not truncated a second time; its response falls silent', async () => {
    const { page, upstream } = await answering();
    upstream.delta('item_2', pcm(24_000));
    await until(() => page.answers[1]?.chunks.length === 1, 'the second item');
    const own = {
      type: 'conversation.item.truncate',
      item_id: 'item_1',
      content_index: 0,
      audio_end_ms: 250,
    };
    await page.send(own);
    await until(() => clears(page).length === 1, 'the clear');
    await page.position('item_1', 6000, true);
    await page.cleared('resp_1');
    await settled(page, upstream);
    expect(truncations(upstream)).toEqual([
      ['item_1', 250],
      ['item_2', 0],
    ]);
  });

  test('output_audio_buffer.clear is answered, and the upstream, which does not know it, never sees it', async () => {
    const { page, upstream } = await answering();
    await page.send({ type: 'output_audio_buffer.clear' });
    await until(() => page.find('output_audio_buffer.cleared') !== undefined, 'the answer');
    expect(page.find('output_audio_buffer.cleared')).toEqual({
      type: 'output_audio_buffer.cleared',
      event_id: expect.any(String),
      response_id: 'resp_1',
    });
    await settled(page, upstream);
    expect(upstream.events.map(({ type }) => type)).toEqual(['session.update']);
    await page.send({ type: 'output_audio_buffer.clear' });
    await until(
      () => page.messages.filter(({ type }) => type === 'output_audio_buffer.cleared').length === 2,
      'the answer to a clear of nothing',
    );
    expect(clears(page)).toHaveLength(1);
  });

  test('parley.interrupt cancels upstream what is being made, and only that', async () => {
    const { page, upstream } = await answering();
    await page.send({ type: 'parley.interrupt' });
    await until(() => upstream.events.length === 1, 'the cancel');
    expect(upstream.events[0]).toMatchObject({ type: 'response.cancel', response_id: 'resp_1' });
    const { event_id } = upstream.events[0] as { event_id: string };
    // It had ended by then: an error about the bridge's own event is no news to the page.
    upstream.emit({ type: 'error', error: { code: 'response_cancel_not_active', event_id } });
    upstream.emit(ended('resp_1', 'completed'));
    await page.cleared('resp_1');
    upstream.emit(created('resp_2'));
    upstream.delta('item_2', pcm(24_000), 'resp_2');
    upstream.emit(ended('resp_2', 'completed'));
    await until(() => page.answers[1]?.ended === true, 'the second answer, whole');
    await page.send({ type: 'parley.interrupt' });
    await until(() => clears(page).length === 2, 'the second clear');
    await page.cleared('resp_2');
    await settled(page, upstream);
    expect(upstream.events.filter(({ type }) => type === 'response.cancel')).toHaveLength(1);
    expect(truncations(upstream)).toEqual([
      ['item_1', 250],
      ['item_2', 0],
    ]);
    expect(page.find('error')).toBeUndefined();
  });

  test('an answer that was cut short for its length is heard to its end', async () => {
    const { page, upstream } = await answering();
    upstream.emit(ended('resp_1', 'incomplete', 'max_output_tokens'));
    await until(() => page.answers[0]?.ended === true, 'the end');
    await settled(page, upstream);
    expect(clears(page)).toEqual([]);
  });
});

describe('a cut is for good', () => {
  test('whatever comes later of the response is dropped and counted, in any item and any part', async () => {
    let dropped = 0;
    const answerSamplesDropped = (samples: number) => {
      dropped += samples;
    };
    const { page, upstream } = await answering({ observer: { answerSamplesDropped } });
    upstream.emit(SPEECH);
    const late = { type: 'response.output_audio.delta', response_id: 'resp_1', delta: 'AAAAAAAA' };
    upstream.delta('item_1', pcm(100));
    upstream.delta('item_2', pcm(100));
    upstream.emit({ ...late, item_id: 'item_2', content_index: 3 });
    upstream.emit(SPEECH);
    upstream.emit({ ...late, item_id: 'item_3' });
    upstream.delta('other', pcm(100), 'resp_2');
    upstream.done('other', 'resp_2');
    await until(() => page.answers.at(-1)?.ended === true, 'the next response');
    expect(page.answers.map(({ header }) => header?.itemId)).toEqual(['item_1', 'other']);
    expect(dropped).toBe(206);
    expect(clears(page)).toEqual([['resp_1']]);
  });

  test('items that the page never saw are truncated at 0 when they are whole', async () => {
    const { page, upstream } = await answering();
    upstream.emit(SPEECH);
    upstream.delta('item_2', pcm(100));
    await page.position('item_1', 6000, true);
    await page.cleared('resp_1');
    await settled(page, upstream);
    expect(truncations(upstream)).toEqual([['item_1', 250]]);
    upstream.emit(ended('resp_1', 'cancelled', 'turn_detected'));
    expect(truncations(upstream)).toEqual([
      ['item_1', 250],
      ['item_2', 0],
    ]);
  });

  test('a delta without a response is one of its own', async () => {
    const { page, upstream } = await call();
    const delta = { type: 'response.output_audio.delta', delta: Buffer.alloc(4800).toString('base64') };
    upstream.emit({ ...delta, item_id: 'a' });
    await until(() => page.answers.length === 1, 'the stream');
    expect(page.answers[0]?.header?.responseId).toBe('a');
    upstream.emit(SPEECH);
    upstream.emit({ ...delta, item_id: 'a' });
    upstream.emit({ ...delta, item_id: 'b' });
    await until(() => page.answers.length === 2, 'the next');
    expect(page.answers[1]?.header?.itemId).toBe('b');
    expect(clears(page)).toEqual([['a']]);
  });

  test('a response that was cut before its first audio is silent', async () => {
    const { page, upstream } = await call();
    upstream.emit(created('resp_1'));
    upstream.emit(SPEECH);
    upstream.delta('item_1', pcm(100));
    upstream.delta('other', pcm(100), 'resp_2');
    await until(() => page.answers.length === 1, 'the next response');
    expect(page.answers[0]?.header?.responseId).toBe('resp_2');
  });
});

describe('truncation', () => {
  test('the page has cleared: what it did not name is truncated at once, at what was last reported', async () => {
    const { page, upstream } = await answering();
    upstream.delta('item_2', pcm(24_000));
    await until(() => page.answers[1]?.chunks.length === 1, 'the second item');
    upstream.emit(SPEECH);
    await page.cleared('resp_1', 'unknown');
    await settled(page, upstream);
    expect(truncations(upstream)).toEqual([
      ['item_1', 250],
      ['item_2', 0],
    ]);
  });

  test('never of an item without audio, of one that was deleted, or of a response out of band', async () => {
    const { page, upstream } = await call({ limits: { clearTimeoutMs: 20 } });
    upstream.emit(created('resp_1'));
    const empty = { type: 'response.output_audio.delta', response_id: 'resp_1', item_id: 'empty', delta: '' };
    upstream.emit(empty);
    upstream.delta('deleted_by_page', pcm(100));
    upstream.delta('deleted_elsewhere', pcm(100));
    upstream.emit(created('resp_2', { conversation_id: null }));
    upstream.delta('out_of_band', pcm(100), 'resp_2');
    await page.send({ type: 'response.create', response: { conversation: 'none' } } as { type: string });
    await settled(page, upstream);
    upstream.emit(created('resp_3'));
    upstream.delta('asked_out_of_band', pcm(100), 'resp_3');
    upstream.emit(created('resp_4', { conversation_id: 'conv_1' }));
    upstream.delta('kept', pcm(100), 'resp_4');
    await page.send({ type: 'conversation.item.delete', item_id: 'deleted_by_page' } as { type: string });
    upstream.emit({ type: 'conversation.item.deleted', item_id: 'deleted_elsewhere' });
    await settled(page, upstream);
    upstream.emit(SPEECH);
    await until(() => truncations(upstream).length > 0, 'the truncation');
    await settled(page, upstream);
    expect(truncations(upstream)).toEqual([['kept', 0]]);
    expect(clears(page)).toEqual([['resp_1', 'resp_2', 'resp_3', 'resp_4']]);
  });

  test('response.cancel without an ID means the conversation, not a response out of band', async () => {
    const { page, upstream } = await answering();
    upstream.emit(created('resp_2', { conversation_id: null }));
    upstream.delta('aside', pcm(100), 'resp_2');
    await until(() => page.answers.length === 2, 'both');
    await page.send({ type: 'response.cancel' });
    await until(() => clears(page).length === 1, 'the clear');
    expect(clears(page)).toEqual([['resp_1']]);
  });
});
