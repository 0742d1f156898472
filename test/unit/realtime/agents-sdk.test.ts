import {
  OpenAIRealtimeWebSocket,
  RealtimeAgent,
  type RealtimeItem,
  RealtimeSession,
  tool,
} from '@openai/agents-realtime';
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import * as z from 'zod';
import { int16ToOctets } from '../../../proto/voice/index.ts';
import { type RealtimeService, startRealtimeService } from '../../../server/realtime/local/index.ts';
import { joinSamples, tone, until } from '../../support/realtime.ts';
import { pem } from '../../support/upstream-peer.ts';

/** The package's own reading of an event, which it does not export: null or generic is what it cannot use. */
interface EventReading {
  readonly data: unknown;
  readonly isGeneric: boolean;
}
const events = '../../../node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs';
const { parseRealtimeEvent } = (await import(events)) as {
  parseRealtimeEvent: (event: { data: string }) => EventReading;
};

type Sent = RealtimeServerEvent & { readonly [field: string]: unknown };

/** Every type that the service sends; the SDK's union must have it. That each event fits its type is checked where it is sent. */
const SENT_TYPES = [
  'session.created',
  'session.updated',
  'input_audio_buffer.speech_started',
  'input_audio_buffer.speech_stopped',
  'input_audio_buffer.committed',
  'input_audio_buffer.cleared',
  'conversation.item.added',
  'conversation.item.done',
  'conversation.item.retrieved',
  'conversation.item.deleted',
  'conversation.item.truncated',
  'conversation.item.input_audio_transcription.completed',
  'response.created',
  'response.output_item.added',
  'response.output_item.done',
  'response.content_part.added',
  'response.content_part.done',
  'response.output_audio.delta',
  'response.output_audio.done',
  'response.output_audio_transcript.delta',
  'response.output_audio_transcript.done',
  'response.output_text.delta',
  'response.output_text.done',
  'response.function_call_arguments.delta',
  'response.function_call_arguments.done',
  'response.done',
  'rate_limits.updated',
  'error',
] as const satisfies readonly RealtimeServerEvent['type'][];

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Stage {
  readonly service: RealtimeService;
  /** Events that the service sent, in order. */
  readonly sent: Sent[];
  of(type: Sent['type']): Sent[];
  /** Fails for every event that the package does not read as what it is. */
  check(): void;
}

async function start(speed = 100): Promise<Stage> {
  const sent: Sent[] = [];
  const service = await startRealtimeService({
    ...pem,
    logger: pino({ level: 'silent' }),
    speed,
    observer: {
      onEvent: (direction, _, event) => direction === 'out' && sent.push(event as unknown as Sent),
    },
  });
  cleanups.push(() => service.close());
  return {
    service,
    sent,
    of: (type) => sent.filter((event) => event.type === type),
    check: () => {
      for (const event of sent) {
        const { data, isGeneric } = parseRealtimeEvent({ data: JSON.stringify(event) });
        expect(data !== null && !isGeneric, `${JSON.stringify(event)} is one that the package knows`).toBe(
          true,
        );
        expect(SENT_TYPES).toContain(event.type);
      }
    },
  };
}

function speech(pcm: Int16Array): ArrayBuffer {
  return new Uint8Array(int16ToOctets(pcm)).buffer;
}

/** A session of the Agents SDK over its own WebSocket transport. */
async function agent(stage: Stage, options: { tools?: ReturnType<typeof tool>[] } = {}) {
  const transport = new OpenAIRealtimeWebSocket({
    createWebSocket: async ({ url }) => {
      const to = new URL(url);
      const socket = new WebSocket(`wss://localhost:${stage.service.port}${to.pathname}${to.search}`, {
        ca: pem.certificate,
      });
      return socket;
    },
  });
  const session = new RealtimeSession(
    new RealtimeAgent({ name: 'parrot', instructions: 'Repeat.', tools: options.tools ?? [] }),
    {
      transport,
      config: { audio: { input: { turnDetection: { type: 'server_vad', interruptResponse: true } } } },
    },
  );
  const errors: unknown[] = [];
  const heard: number[] = [];
  let interruptions = 0;
  session.on('error', (error) => errors.push(error));
  session.on('audio', ({ data }) => heard.push(data.byteLength));
  session.on('audio_interrupted', () => {
    interruptions += 1;
  });
  cleanups.push(() => session.close());
  await session.connect({
    apiKey: 'none',
    url: `wss://localhost:${stage.service.port}/v1/realtime?model=parrot`,
  });
  await until(() => stage.of('session.updated').length > 0, 'the configuration');
  return {
    session,
    transport,
    errors,
    heard: () => heard.reduce((sum, octets) => sum + octets, 0),
    interruptions: () => interruptions,
    inHistory: (role: 'user' | 'assistant', expected: object) => inHistory(session, role, expected),
  };
}

/**
 * Waits until the history holds a message of that role as `expected`. What the service sent is not yet what the SDK made of it,
 * so its own report of a change is waited for.
 */
async function inHistory(session: RealtimeSession, role: 'user' | 'assistant', expected: object) {
  const messages = () =>
    session.history.filter((item: RealtimeItem) => item.type === 'message' && item.role === role);
  const matches = () => {
    try {
      expect(messages()).toContainEqual(expect.objectContaining(expected));
      return true;
    } catch {
      return false;
    }
  };
  if (matches()) return;
  await new Promise<void>((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      session.off('history_updated', look);
      resolve();
    };
    const look = () => void (matches() && settle());
    const timer = setTimeout(settle, 5_000);
    session.on('history_updated', look);
  });
  expect(messages()).toContainEqual(expect.objectContaining(expected));
}

const UTTERANCE = joinSamples(tone(400, 0), tone(900), tone(800, 0));

describe('a session of @openai/agents-realtime with the local service', () => {
  test('a written turn', async () => {
    const stage = await start();
    const { session, errors, inHistory } = await agent(stage);
    session.sendMessage('good morning');
    await inHistory('user', {
      content: [expect.objectContaining({ type: 'input_text', text: 'good morning' })],
    });
    await inHistory('assistant', {
      status: 'completed',
      content: [expect.objectContaining({ type: 'output_audio', transcript: 'You wrote: good morning' })],
    });
    await until(() => session.usage.outputTokens > 0, 'the tokens of the answer');
    expect(errors).toEqual([]);
    stage.check();
  });

  test('a spoken turn, with what was said in the history', async () => {
    const stage = await start();
    const { session, errors, inHistory, heard } = await agent(stage);
    session.sendAudio(speech(UTTERANCE));
    await until(() => heard() === 1700 * 48, 'the audio');
    await inHistory('user', {
      status: 'completed',
      content: [expect.objectContaining({ type: 'input_audio', transcript: '(1.7 seconds of speech)' })],
    });
    await inHistory('assistant', {
      status: 'completed',
      content: [expect.objectContaining({ type: 'output_audio' })],
    });
    expect(stage.of('conversation.item.retrieved')).toHaveLength(1);
    expect(errors).toEqual([]);
    stage.check();
  });

  test('a function is called, and its result answered', async () => {
    const stage = await start();
    const calls: unknown[] = [];
    const clock = tool({
      name: 'clock',
      description: 'tells the time',
      parameters: z.object({}),
      execute: async (input) => {
        calls.push(input);
        return 'noon';
      },
    });
    const { session, errors, inHistory } = await agent(stage, { tools: [clock] });
    session.sendMessage('what time is it?');
    await until(() => stage.of('response.done').length === 2, 'the call and the answer');
    await inHistory('assistant', {
      status: 'completed',
      content: [expect.objectContaining({ transcript: expect.stringContaining('noon') })],
    });
    expect(calls).toEqual([{}]);
    expect(session.history.find((item) => item.type === 'function_call')).toMatchObject({
      name: 'clock',
      output: 'noon',
    });
    expect(errors).toEqual([]);
    stage.check();
  });

  test('speech interrupts an answer, which is truncated', async () => {
    const stage = await start(1);
    const { session, errors, interruptions } = await agent(stage);
    session.sendAudio(speech(UTTERANCE));
    await until(() => stage.of('response.output_audio.delta').length > 2, 'the answer');
    session.sendAudio(speech(tone(200)));
    await until(() => stage.of('response.done').length === 1, 'its end');
    expect(stage.of('response.done')[0]?.response).toMatchObject({ status: 'cancelled' });
    await until(() => stage.of('conversation.item.truncated').length === 1, 'the truncation');
    await until(() => interruptions() > 0, 'the interruption at the session');
    expect(interruptions()).toBe(1);
    expect(errors).toEqual([]);
    stage.check();
  });

  test('session.interrupt() cancels and truncates, and a message can be deleted', async () => {
    const stage = await start(1);
    const { session, transport, errors } = await agent(stage);
    session.sendAudio(speech(UTTERANCE));
    await until(() => stage.of('response.output_audio.delta').length > 2, 'the answer');
    session.interrupt();
    await until(() => stage.of('conversation.item.truncated').length === 1, 'the truncation');
    await until(() => stage.of('response.done').length === 1, 'its end');
    expect(stage.of('response.done')[0]?.response).toMatchObject({
      status_details: { type: 'cancelled', reason: 'client_cancelled' },
    });
    session.updateHistory([]);
    transport.sendEvent({ type: 'input_audio_buffer.clear' });
    await until(() => stage.of('input_audio_buffer.cleared').length === 1, 'cleared');
    await until(() => stage.of('conversation.item.deleted').length > 0, 'deleted');
    expect(errors).toEqual([]);
    stage.check();
  });

  test('what is wrong with an event comes back with the event’s ID, and the session goes on', async () => {
    const stage = await start();
    const { session, transport, errors } = await agent(stage);
    const audio = { type: 'message', role: 'user', content: [{ type: 'input_audio', audio: 'AAAA' }] };
    transport.sendEvent({ type: 'conversation.item.create', item: audio });
    transport.sendEvent({ type: 'conversation.item.retrieve', item_id: 'none', event_id: 'mine' });
    for (const item of [
      { type: 'message' },
      { type: 'message', role: 'user' },
      { type: 'message', role: 'user', content: [{ type: 'output_text', text: 'x' }] },
      { type: 'function_call_output' },
      { type: 'unheard_of' },
    ])
      transport.sendEvent({ type: 'conversation.item.create', item, event_id: 'mine' });
    await until(() => stage.of('error').length === 6, 'the errors');
    await until(() => errors.length === 6, 'the errors at the session');
    for (const { error } of stage.of('error') as { error?: unknown }[])
      expect(error).toMatchObject({ type: 'invalid_request_error', event_id: 'mine' });
    expect(stage.of('conversation.item.added')[0]).toMatchObject({
      item: { content: [{ type: 'input_audio', transcript: '' }] },
    });
    session.sendMessage('still there?');
    await until(() => stage.of('response.done').length === 1, 'the answer');
    stage.check();
  });
});

test('written answers: the events of text satisfy the package too', async () => {
  const stage = await start();
  const { session, transport, errors } = await agent(stage);
  session.sendMessage('good morning', {});
  await until(() => stage.of('response.done').length === 1, 'the first answer');
  transport.sendEvent({
    type: 'response.create',
    response: { output_modalities: ['text'], metadata: { topic: 'x' } },
  });
  await until(() => stage.of('response.done').length === 2, 'the written answer');
  expect(stage.of('response.output_text.done')).toHaveLength(1);
  expect(stage.of('response.done')[1]?.response).toMatchObject({ metadata: { topic: 'x' } });
  expect(errors).toEqual([]);
  stage.check();
});
