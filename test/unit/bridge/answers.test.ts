import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import {
  AudioHash,
  isNumbered,
  type Message,
  SessionCloseCode,
  StreamCode,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import {
  DEFAULT_VOICE_LIMITS,
  OctetBudget,
  serveVoice,
  type VoiceContext,
} from '../../../server/bridge/index.ts';

import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const logger = pino({ level: 'silent' });
const ends: (() => Promise<void>)[] = [];

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
    expect(upstream.closed).toBe(true);
  });
  await page.start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { page, upstream, client, server, served };
}

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const pcm = (samples: number, fill = 7) => new Uint8Array(samples * 2).fill(fill);
const speechStarted: Message = {
  type: 'input_audio_buffer.speech_started',
  item_id: 'user',
  audio_start_ms: 0,
};

describe('answers', () => {
  test('each item has a stream of its own with every octet, ended by done; deltas are not sent as messages', async () => {
    const { page, upstream, server } = await call();
    const one = [pcm(2400, 1), pcm(2400, 2), pcm(17, 3)];
    const two = [pcm(100, 4)];
    for (const part of one) upstream.delta('item_1', part);
    upstream.done('item_1');
    for (const part of two) upstream.delta('item_2', part);
    upstream.done('item_2');
    await until(() => page.answers.filter((answer) => answer.ended).length === 2, 'two answers');
    expect(page.answers.map((answer) => answer.header?.itemId)).toEqual(['item_1', 'item_2']);
    expect(page.answers[0]?.header).toEqual({
      type: 'parley.answer',
      answer: 0,
      firstSample: 0,
      responseId: 'resp_1',
      itemId: 'item_1',
      contentIndex: 0,
      outputIndex: 0,
      codec: 'pcm16',
      rate: 24_000,
    });
    const digest = (parts: readonly Uint8Array[]) => new AudioHash().update(concat(parts)).digest();
    expect(digest(page.answers[0]!.chunks)).toBe(digest(one));
    expect(digest(page.answers[1]!.chunks)).toBe(digest(two));
    await until(() => page.types().includes('response.output_audio.done'), 'done');
    expect(page.types()).not.toContain('response.output_audio.delta');
    expect(server.sendOrders.every((order) => (order ?? 0) < 0)).toBe(true);
  });

  test('a response that ends without done still ends its stream', async () => {
    const { page, upstream } = await call();
    upstream.delta('item_1', pcm(10));
    upstream.emit({ type: 'response.done', response: { id: 'resp_1', status: 'completed' } });
    await until(() => page.answers[0]?.ended === true, 'the end');
  });

  test('audio that waits for a slow page stops nothing: events pass, and every octet comes in the end', async () => {
    const { page, upstream } = await call();
    page.deaf = true;
    const second = pcm(24_000);
    for (let i = 0; i < 9 * 60; i++) upstream.delta('item_1', second);
    upstream.done('item_1');
    upstream.emit({ type: 'rate_limits.updated' });
    await until(() => page.find('rate_limits.updated') !== undefined, 'the event behind 9 minutes of audio');
    expect(upstream.paused).toBe(false);
    page.deaf = false;
    await until(() => page.answers[0]?.ended === true, 'the end', 20_000);
    expect(page.answers[0]!.chunks.reduce((sum, { length }) => sum + length, 0)).toBe(9 * 60 * 48_000);
    expect(page.find('parley.error')).toBeUndefined();
  }, 30_000);

  test('an answer of which more waits than may is cut in words, and the next one is heard', async () => {
    const budget = new OctetBudget(1 << 30);
    let overflows = 0;
    const { page, upstream } = await call({
      answerBudget: budget,
      observer: { answerOverflowed: () => overflows++ },
    });
    page.deaf = true;
    upstream.emit({ type: 'response.created', response: { id: 'resp_1' } });
    let largest = 0;
    for (let i = 0; i < 12 * 60; i++) {
      upstream.delta('item_1', pcm(24_000));
      largest = Math.max(largest, budget.octets);
    }
    expect(largest).toBeLessThan(DEFAULT_VOICE_LIMITS.maxAnswerQueueOctets + 100_000);
    expect(overflows).toBe(1);
    await until(() => page.find('parley.error') !== undefined, 'the error');
    expect(page.find('parley.error')).toMatchObject({ code: 'answer_overflow', retry: true });
    expect(page.find('parley.playback.clear')).toMatchObject({ responseIds: ['resp_1'] });
    expect(upstream.events[0]).toMatchObject({ type: 'response.cancel', response_id: 'resp_1' });
    page.deaf = false;
    upstream.delta('item_2', pcm(100), 'resp_2');
    upstream.done('item_2', 'resp_2');
    await until(() => page.answers.at(-1)?.ended === true, 'the next answer');
    await until(() => budget.octets === 0, 'everything acknowledged');
  });

  test('what the whole process keeps is bounded too, and given back when calls end', async () => {
    const budget = new OctetBudget(8 << 20);
    const calls = [await call({ answerBudget: budget }), await call({ answerBudget: budget })];
    for (const { page } of calls) page.deaf = true;
    let largest = 0;
    for (let i = 0; i < 200; i++)
      for (const { upstream } of calls) {
        upstream.delta('item_1', pcm(24_000));
        largest = Math.max(largest, budget.octets);
      }
    expect(largest).toBeGreaterThan(7 << 20);
    expect(largest).toBeLessThan(9 << 20);
    for (const { client, served } of calls) {
      client.close();
      await served;
    }
    expect(budget.octets).toBe(0);
  });

  test('a part that no header can carry is left out and counted, and the call goes on', async () => {
    let dropped = 0;
    const { page, upstream } = await call({ observer: { upstreamEventDropped: () => dropped++ } });
    upstream.delta('i'.repeat(300), pcm(10));
    upstream.delta('', pcm(10));
    upstream.delta('item_1', pcm(10), 'r'.repeat(300));
    const odd = { type: 'response.output_audio.delta', response_id: 'r', item_id: 'i', delta: 'AAAA' };
    upstream.emit({ ...odd, content_index: 0.5 });
    upstream.emit({ ...odd, output_index: -1 });
    upstream.emit({ ...odd, item_id: 7 });
    upstream.emit({ type: '' });
    upstream.emit({ type: 'x'.repeat(300) });
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    upstream.emit({ type: 'nested', deep });
    upstream.delta('item_2', pcm(10));
    upstream.done('item_2');
    await until(() => page.answers[0]?.ended === true, 'the good one');
    expect(page.answers.map(({ header }) => header?.itemId)).toEqual(['item_2']);
    expect(dropped).toBe(9);
    expect(page.closeInfo).toBeUndefined();
  });

  test('a stream that the page stops harms nothing else', async () => {
    const { page, upstream, client } = await call();
    page.deaf = true;
    upstream.delta('item_1', pcm(100));
    await until(() => page.answers.length === 1, 'the stream');
    upstream.emit({ type: 'response.output_audio.delta', item_id: 5 } as Message);
    upstream.delta('item_2', pcm(100));
    upstream.done('item_2');
    page.deaf = false;
    await until(() => page.answers[1]?.ended === true, 'the second answer');
    expect(client.listeners).toBe(0);
  });
});

describe('barge-in', () => {
  test('resets what is unfinished, drops later audio, tells the page, and truncates at what was played', async () => {
    const dropped: number[] = [];
    const observer = { answerSamplesDropped: (samples: number) => void dropped.push(samples) };
    const { page, upstream } = await call({ observer });
    upstream.delta('item_1', pcm(24_000));
    await until(() => page.answers[0]?.chunks.length === 1, 'the audio');
    upstream.emit(speechStarted);
    upstream.delta('item_1', pcm(2400));
    upstream.done('item_1');
    await until(() => page.answers[0]?.resetCode !== undefined, 'the reset');
    expect(page.answers[0]?.resetCode).toBe(StreamCode.BARGE_IN);
    await until(() => page.find('input_audio_buffer.speech_started') !== undefined, 'speech_started');
    expect(page.find('parley.playback.clear')).toEqual({
      type: 'parley.playback.clear',
      responseIds: ['resp_1'],
    });
    expect(dropped.reduce((sum, samples) => sum + samples, 0)).toBe(2400);
    await page.position('item_1', 12_011, true);
    await until(() => upstream.events.length === 1, 'the truncation');
    expect(upstream.events).toEqual([
      { type: 'conversation.item.truncate', item_id: 'item_1', content_index: 0, audio_end_ms: 500 },
    ]);
    await page.position('item_1', 12_011, true);
    await page.send({ type: 'response.create' });
    await until(() => upstream.events.length === 2, 'the next event');
    expect(upstream.events[1]?.type).toBe('response.create');
  });

  test('audio that waits behind a page that does not read is never sent after a barge-in', async () => {
    const { page, upstream } = await call();
    page.deaf = true;
    for (let i = 0; i < 50; i++) upstream.delta('item_1', pcm(24_000));
    upstream.done('item_1');
    await until(() => page.answers.length === 1, 'the stream');
    upstream.emit(speechStarted);
    page.deaf = false;
    await until(() => page.answers[0]?.resetCode === StreamCode.BARGE_IN, 'the reset');
    expect(concat(page.answers[0]!.chunks).length).toBeLessThan(200_000);
    await page.position('item_1', 10_000_000, true);
    await until(() => upstream.events.length === 1, 'the truncation');
    const { audio_end_ms } = upstream.events[0] as unknown as { audio_end_ms: number };
    expect(Number.isInteger(audio_end_ms)).toBe(true);
    expect(audio_end_ms).toBeLessThan(50_000);
  });

  test('audio wholly sent but not yet heard is cut too; several items are cleared together', async () => {
    const { page, upstream } = await call();
    for (const item of ['item_1', 'item_2']) {
      upstream.delta(item, pcm(24_000));
      upstream.done(item);
    }
    await until(() => page.answers.filter((answer) => answer.ended).length === 2, 'both answers');
    await page.position('item_1', 6000, false);
    upstream.emit(speechStarted);
    await until(() => page.find('parley.playback.clear') !== undefined, 'the clear');
    expect(page.find('parley.playback.clear')).toEqual({
      type: 'parley.playback.clear',
      responseIds: ['resp_1'],
    });
    await page.position('item_1', 12_000, true);
    await page.position('item_2', 0, true);
    await until(() => upstream.events.length === 2, 'two truncations');
    expect(upstream.events).toMatchObject([
      { item_id: 'item_1', audio_end_ms: 500 },
      { item_id: 'item_2', audio_end_ms: 0 },
    ]);
  });

  test('a page that never says where it stopped: what it reported last is what was heard, and its late word changes nothing', async () => {
    const { page, upstream } = await call({ limits: { clearTimeoutMs: 50 } });
    upstream.delta('item_1', pcm(48_000));
    await until(() => page.answers[0]?.chunks.length === 1, 'the audio');
    await page.position('item_1', 12_000, false);
    upstream.emit(speechStarted);
    await until(() => upstream.events.length === 1, 'the truncation');
    await page.position('item_1', 24_000, true);
    upstream.delta('item_2', pcm(100), 'resp_2');
    await until(() => page.answers.length === 2, 'what came later');
    expect(upstream.events).toEqual([
      { type: 'conversation.item.truncate', item_id: 'item_1', content_index: 0, audio_end_ms: 500 },
    ]);
  });

  test('a page that answers in time is not asked again, and one that is gone not at all', async () => {
    const { page, upstream, client, served } = await call({ limits: { clearTimeoutMs: 100 } });
    upstream.delta('item_1', pcm(48_000));
    await until(() => page.answers[0]?.chunks.length === 1, 'the audio');
    upstream.emit(speechStarted);
    await page.position('item_1', 240, true);
    await until(() => upstream.events.length === 1, 'the truncation');
    upstream.delta('item_2', pcm(48_000), 'resp_2');
    upstream.emit(speechStarted);
    client.close();
    await served;
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(upstream.events).toEqual([
      { type: 'conversation.item.truncate', item_id: 'item_1', content_index: 0, audio_end_ms: 10 },
    ]);
  });

  test('nothing is cleared when the caller heard everything, or when speech does not interrupt', async () => {
    const { page, upstream } = await call();
    upstream.delta('item_1', pcm(2400));
    upstream.done('item_1');
    await until(() => page.answers[0]?.ended === true, 'the answer');
    await page.position('item_1', 2400, false);
    await page.send({ type: 'response.create' });
    await until(() => upstream.events.length === 1, 'the position was read');
    upstream.emit(speechStarted);
    const turn_detection = { type: 'server_vad', interrupt_response: false };
    upstream.emit({ type: 'session.updated', session: { audio: { input: { turn_detection } } } });
    upstream.delta('item_2', pcm(2400));
    upstream.emit(speechStarted);
    upstream.done('item_2');
    await until(() => page.answers[1]?.ended === true, 'the second answer');
    expect(page.types()).not.toContain('parley.playback.clear');
  });
});

describe('the end of a call', () => {
  test.each([
    ['upstream_unreachable', SessionCloseCode.UPSTREAM_UNREACHABLE, true],
    ['upstream_refused', SessionCloseCode.UPSTREAM_REFUSED, false],
    ['upstream_closed', SessionCloseCode.UPSTREAM_CLOSED, true],
    ['upstream_time_limit', SessionCloseCode.UPSTREAM_TIME_LIMIT, true],
  ] as const)('%s reaches the page as an error and as the close code', async (code, closeCode, retry) => {
    const { page, upstream, served } = await call({ limits: { redialMs: 0 } });
    upstream.end({ code, message: 'It is over. '.repeat(200), closeCode: 1001 });
    await served;
    await until(() => page.closeInfo !== undefined && page.find('parley.error') !== undefined, 'the close');
    expect(page.find('parley.error')).toMatchObject({ code, retry, last: true });
    expect(page.closeInfo?.closeCode).toBe(closeCode);
    expect(Buffer.byteLength(page.closeInfo!.reason)).toBeLessThanOrEqual(1024);
  });

  test('a call that lasts too long is ended', async () => {
    const { page, served } = await call({ limits: { maxSessionMinutes: 0.001 } });
    await served;
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.SESSION_TIME_LIMIT);
    expect(page.find('parley.error')).toMatchObject({ code: 'session_time_limit', retry: true });
  });

  test('a caller whose minutes end is told before, and the call ends with them', async () => {
    const end = Date.now() + 1500;
    const admission = {
      get remainingMs() {
        return Math.max(0, end - Date.now());
      },
      release: () => undefined,
    };
    const { page, served } = await call({ callEntry: { open: true, enter: () => admission } });
    await until(() => page.find('parley.error') !== undefined, 'the notice');
    expect(page.find('parley.error')).toMatchObject({
      code: 'time_limit_near',
      message: expect.stringMatching(/^Your minutes for today end in [12] s/),
    });
    await served;
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo).toMatchObject({
      closeCode: SessionCloseCode.UNAUTHORIZED,
      reason: expect.stringMatching(/^Your minutes for today are used up/),
    });
    const errors = page.messages.filter(({ type }) => type === 'parley.error');
    expect(errors).toMatchObject([{ code: 'time_limit_near' }, { code: 'unauthorized', retry: false }]);
    // The first is the call's, which another session would be given again; the second is of this session alone.
    expect(errors.map(isNumbered)).toEqual([true, false]);
  });

  test('a page that reads nothing cannot hold the session open', async () => {
    const { page, upstream, served } = await call({ limits: { maxAnswerQueueOctets: 1 << 16, redialMs: 0 } });
    page.deaf = true;
    for (let i = 0; i < 20; i++) upstream.delta('item_1', pcm(24_000));
    upstream.end({ code: 'upstream_closed', message: 'Gone.', closeCode: 1006 });
    await served;
    page.deaf = false;
  });

  test('the connection may be lost at any moment', async () => {
    const seen: number[] = [];
    const observer = { sessionEnded: (code: number) => void seen.push(code) };
    for (let moment = 0; moment < 8; moment++) {
      const { client, server } = memorySessionPair();
      const page = new VoicePage(client);
      const upstream = new FakeUpstream();
      const served = serveVoice(server, {
        backend: 'b',
        serverId: '00',
        upstreamKind: 'local',
        upstream,
        openUpstream: () => upstream,
        logger,
        observer,
      });
      const steps: (() => unknown)[] = [
        () => page.start(),
        () => upstream.open(),
        () => page.microphone(0, 0),
        () => upstream.delta('item_1', pcm(100)),
        () => upstream.emit(speechStarted),
        () => page.microphone(1, 0),
        () => page.position('item_1', 5, true),
      ];
      for (const step of steps.slice(0, moment)) await step();
      client.lose();
      await served;
      expect(upstream.closed).toBe(true);
      expect(server.listeners).toBe(0);
    }
    expect(seen).toHaveLength(8);
    expect(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length).toBeLessThan(3);
  });
});
