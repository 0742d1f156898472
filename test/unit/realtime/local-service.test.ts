import { connect } from 'node:tls';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { StartupError } from '../../../net/startup.ts';
import { AudioHash, int16ToOctets, type Message } from '../../../proto/voice/index.ts';
import { openUpstream, type Upstream, type UpstreamEnd } from '../../../server/realtime/index.ts';
import {
  type RealtimeService,
  type ServiceOptions,
  startRealtimeService,
} from '../../../server/realtime/local/index.ts';
import { joinSamples, testCertificate, tone, until } from '../../support/realtime.ts';

const logger = pino({ level: 'silent' });
let pem: ReturnType<typeof testCertificate>;
const services: RealtimeService[] = [];
const upstreams: Upstream[] = [];

beforeAll(() => {
  pem = testCertificate();
});
afterEach(async () => {
  for (const upstream of upstreams.splice(0)) upstream.close();
  await Promise.all(services.splice(0).map((service) => service.close()));
});
afterAll(() => expect(services).toHaveLength(0));

test.each([
  ['certificate', '.parley/cert.pem'],
  ['key', Buffer.from('.parley/key.pem')],
  ['key', undefined],
])('is not started with a %s that is no PEM', async (name, value) => {
  await expect(startRealtimeService({ ...pem, [name]: value } as ServiceOptions)).rejects.toThrow(
    new StartupError(`${name}: this is no PEM; give what the file holds, not its path.`),
  );
});

async function start(options: Partial<ServiceOptions> = {}): Promise<RealtimeService> {
  const service = await startRealtimeService({ ...pem, logger, speed: 100, ...options });
  services.push(service);
  return service;
}

interface Client {
  readonly upstream: Upstream;
  readonly events: Message[];
  readonly ends: UpstreamEnd[];
  send(event: RealtimeClientEvent): void;
  say(samples: Int16Array): void;
  types(): string[];
  find(type: string): Message | undefined;
}

function dial(service: RealtimeService, config: { apiKey?: string; baseURL?: string } = {}): Client {
  const upstream = openUpstream({
    kind: 'local',
    model: 'parrot',
    apiKey: config.apiKey ?? 'none',
    baseURL: config.baseURL ?? service.url,
    ca: pem.certificate,
  });
  upstreams.push(upstream);
  const events: Message[] = [];
  const ends: UpstreamEnd[] = [];
  upstream.onEvent((event) => events.push(event));
  upstream.onClose((end) => ends.push(end));
  return {
    upstream,
    events,
    ends,
    send: (event) => upstream.send(event),
    say(samples) {
      const octets = int16ToOctets(samples);
      for (let at = 0; at < octets.length; at += 1920) {
        const audio = Buffer.from(octets.subarray(at, at + 1920)).toString('base64');
        upstream.send({ type: 'input_audio_buffer.append', audio });
      }
    },
    types: () => events.map((event) => event.type),
    find: (type) => events.find((event) => event.type === type),
  };
}

async function connected(service: RealtimeService): Promise<Client> {
  const client = dial(service);
  await until(() => client.find('session.created') !== undefined, 'session.created');
  return client;
}

function answerAudio(client: Client): Buffer {
  const deltas = client.events.filter((event) => event.type === 'response.output_audio.delta');
  return Buffer.concat(deltas.map((event) => Buffer.from(event.delta as string, 'base64')));
}

const UTTERANCE = joinSamples(tone(400, 0), tone(900), tone(800, 0));

describe('the local realtime service, through the official SDK', () => {
  test('a spoken turn is answered with the caller’s own words, event by event as the real API does', async () => {
    const appended = new AudioHash();
    const service = await start({ observer: { onAppend: (_, pcm) => void appended.update(pcm) } });
    const client = await connected(service);
    client.say(UTTERANCE);
    await until(() => client.find('rate_limits.updated') !== undefined, 'the end of the response');
    const types = client.types().filter((type) => type !== 'response.output_audio.delta');
    expect(types).toEqual([
      'session.created',
      'input_audio_buffer.speech_started',
      'input_audio_buffer.speech_stopped',
      'input_audio_buffer.committed',
      'conversation.item.added',
      'conversation.item.done',
      'conversation.item.input_audio_transcription.completed',
      'response.created',
      'response.output_item.added',
      'conversation.item.added',
      'response.content_part.added',
      'response.output_audio_transcript.delta',
      'response.output_audio.done',
      'response.output_audio_transcript.done',
      'response.content_part.done',
      'conversation.item.done',
      'response.output_item.done',
      'response.done',
      'rate_limits.updated',
    ]);
    expect(new Set(client.events.map((event) => event.event_id)).size).toBe(client.events.length);
    expect(appended.digest()).toBe(new AudioHash().update(int16ToOctets(UTTERANCE)).digest());

    const startMs = client.find('input_audio_buffer.speech_started')?.audio_start_ms as number;
    const endMs = client.find('input_audio_buffer.speech_stopped')?.audio_end_ms as number;
    expect(startMs).toBe(100); // loud from 400 ms on, less 300 ms of prefix
    expect(endMs).toBe(1800); // loud until 1300 ms, and 500 ms of silence
    const said = Buffer.from(int16ToOctets(UTTERANCE.subarray(startMs * 24, endMs * 24)));
    expect(answerAudio(client).equals(said)).toBe(true);
    expect(client.find('response.done')?.response).toMatchObject({ status: 'completed' });

    const audit = service.audit()[0];
    expect(audit?.microphoneSamples).toBe(UTTERANCE.length);
    expect(audit?.microphoneHash).toBe(appended.digest());
    expect(audit?.answers[0]?.hash).toBe(new AudioHash().update(said).digest());
  });

  test('speech over an answer cancels it', async () => {
    const service = await start({ speed: 1 });
    const client = await connected(service);
    client.say(UTTERANCE);
    await until(() => client.find('response.output_audio.delta') !== undefined, 'the answer');
    client.say(tone(200));
    await until(() => client.find('response.done') !== undefined, 'response.done');
    expect(client.find('response.done')?.response).toMatchObject({
      status: 'cancelled',
      status_details: { type: 'cancelled', reason: 'turn_detected' },
      output: [{ status: 'incomplete' }],
    });
    expect(answerAudio(client).length / 48).toBeLessThan(1700);
  });

  test('interrupt_response: false lets the answer go on', async () => {
    const service = await start({ speed: 5 });
    const client = await connected(service);
    const turn_detection = { type: 'server_vad', interrupt_response: false } as const;
    client.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { turn_detection } } },
    });
    client.say(UTTERANCE);
    await until(() => client.find('response.output_audio.delta') !== undefined, 'the answer');
    client.say(tone(200));
    await until(() => client.find('response.done') !== undefined, 'response.done');
    expect(client.find('response.done')?.response).toMatchObject({ status: 'completed' });
  });

  test('an item is truncated at what was heard, and not behind its end', async () => {
    const service = await start();
    const client = await connected(service);
    client.say(UTTERANCE);
    await until(() => client.find('response.done') !== undefined, 'response.done');
    const item_id = client.find('response.output_audio.done')?.item_id as string;
    client.send({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms: 1701 });
    client.send({ type: 'conversation.item.truncate', item_id, content_index: 0, audio_end_ms: 640 });
    client.send({ type: 'conversation.item.truncate', item_id: 'x', content_index: 0, audio_end_ms: 0 });
    await until(() => client.events.filter((event) => event.type === 'error').length === 2, 'two errors');
    const [tooLong, unknown] = client.events.filter((event) => event.type === 'error');
    expect(tooLong?.error).toMatchObject({ code: 'invalid_value', param: 'audio_end_ms' });
    expect(unknown?.error).toMatchObject({ code: 'item_truncate_invalid_item_id' });
    expect(client.find('conversation.item.truncated')).toMatchObject({ item_id, audio_end_ms: 640 });
    expect(service.audit()[0]?.answers[0]?.truncatedMs).toBe(640);
  });

  test('without turn detection the client commits, creates and cancels', async () => {
    const service = await start({ speed: 1 });
    const client = await connected(service);
    client.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { turn_detection: null as never } } },
    });
    client.send({ type: 'input_audio_buffer.commit', event_id: 'mine' });
    client.send({ type: 'response.cancel' });
    client.say(tone(500));
    client.send({ type: 'input_audio_buffer.commit' });
    client.send({ type: 'response.create' });
    client.send({ type: 'response.create' });
    client.send({ type: 'response.cancel' });
    await until(() => client.find('response.done') !== undefined, 'response.done');
    const errors = client.events.filter((event) => event.type === 'error').map((event) => event.error);
    expect(errors).toMatchObject([
      { code: 'input_audio_buffer_commit_empty', event_id: 'mine' },
      { code: 'response_cancel_not_active' },
      { code: 'conversation_already_has_active_response' },
    ]);
    expect(client.types()).not.toContain('input_audio_buffer.speech_started');
    expect(client.find('response.done')?.response).toMatchObject({
      status_details: { reason: 'client_cancelled' },
    });
  });

  test('written words are answered in text when text is asked for', async () => {
    const client = await connected(await start());
    client.send({
      type: 'conversation.item.create',
      item: { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'good morning' }] },
    });
    client.send({ type: 'response.create', response: { output_modalities: ['text'] } });
    await until(() => client.find('response.done') !== undefined, 'response.done');
    expect(client.find('response.output_text.done')?.text).toBe('You wrote: good morning');
  });

  test('a session with functions calls the first one, or the one that is named, and answers once it was told the result', async () => {
    const client = await connected(await start());
    const tool = (name: string) => ({ type: 'function' as const, name, parameters: { type: 'object' } });
    const session = { type: 'realtime' as const, tools: [tool('first'), tool('second')] };
    client.send({ type: 'session.update', session });
    client.say(joinSamples(tone(800), tone(1000, 0)));
    await until(() => client.find('response.done') !== undefined, 'the call');
    const called = client.find('response.function_call_arguments.done');
    expect(called).toMatchObject({ name: 'first', arguments: '{}' });
    expect(client.find('response.done')).toMatchObject({
      response: { status: 'completed', output: [{ type: 'function_call', call_id: called?.call_id }] },
    });
    const item = { type: 'function_call_output' as const, call_id: String(called?.call_id), output: '42' };
    client.send({ type: 'conversation.item.create', item });
    client.send({ type: 'response.create' });
    await until(() => client.types().filter((type) => type === 'response.done').length === 2, 'the answer');
    expect(client.find('response.output_audio_transcript.done')?.transcript).toBe(
      'The function answered: 42',
    );

    client.send({ type: 'response.create', response: { tool_choice: { type: 'function', name: 'second' } } });
    client.send({ type: 'response.create', response: { tool_choice: 'none', output_modalities: ['text'] } });
    await until(() => client.find('response.output_text.done') !== undefined, 'the written answer');
    const names = client.events.filter(({ type }) => type === 'response.function_call_arguments.done');
    expect(names.map(({ name }) => name)).toEqual(['first', 'second']);
  });

  test('a request target that is no URL is refused, and the service goes on', async () => {
    const service = await start();
    const socket = connect({
      port: service.port,
      host: '127.0.0.1',
      ca: pem.certificate,
      servername: 'localhost',
    });
    socket.write('GET // HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(/^HTTP\/1.1 404/);
    await connected(service);
  });

  test('malformed events are answered with an error, and the session goes on', async () => {
    const client = await connected(await start());
    client.send({ type: 'no.such.event' } as never);
    client.send(17 as never);
    client.send({ type: 'input_audio_buffer.append', audio: 'AAAA' });
    client.send({ type: 'session.update', session: { type: 'transcription' } as never });
    client.send({ type: 'input_audio_buffer.clear' });
    await until(() => client.find('input_audio_buffer.cleared') !== undefined, 'cleared');
    expect(client.events.filter((event) => event.type === 'error')).toHaveLength(4);
  });
});

describe('the upstream adapter', () => {
  test('a wrong key is refused, without the key in the sentence', async () => {
    const service = await start({ bearerToken: 'right' });
    const client = dial(service, { apiKey: 'sk-wrong-and-secret' });
    await until(() => client.ends.length === 1, 'the end');
    expect(client.ends[0]).toMatchObject({ code: 'upstream_refused' });
    expect(client.ends[0]?.message).not.toContain('secret');
  });

  test('a port without a listener is unreachable, a wrong path is refused', async () => {
    const service = await start();
    const gone = dial(service, { baseURL: 'https://localhost:1/v1' });
    const lost = dial(service, { baseURL: `${service.url}/elsewhere` });
    await until(() => gone.ends.length + lost.ends.length === 2, 'two ends');
    expect(gone.ends[0]?.code).toBe('upstream_unreachable');
    expect(lost.ends[0]?.code).toBe('upstream_refused');
  });

  test('the time limit of a session arrives as such', async () => {
    const client = await connected(await start({ maxSessionMs: 50 }));
    await until(() => client.ends.length === 1, 'the end');
    expect(client.ends[0]).toMatchObject({ code: 'upstream_time_limit', closeCode: 1001 });
    expect(client.find('error')?.error).toMatchObject({ code: 'session_expired' });
  });

  test('events that came before there was a listener are kept, and closing twice or early is harmless', async () => {
    const service = await start();
    const upstream = openUpstream({
      kind: 'local',
      model: 'parrot',
      apiKey: 'none',
      baseURL: service.url,
      ca: pem.certificate,
    });
    let opened = false;
    upstream.onOpen(() => {
      opened = true;
    });
    await until(() => opened, 'open');
    await new Promise((resolve) => setTimeout(resolve, 30));
    const types: string[] = [];
    upstream.onEvent((event) => types.push(event.type));
    await until(() => types.length > 0, 'session.created');
    expect(types).toEqual(['session.created']);
    upstream.close();
    upstream.close();
    const early = openUpstream({ kind: 'local', model: 'm', apiKey: 'k', baseURL: service.url });
    early.close();
    await until(() => service.sessions === 0, 'no session is left');
  });
});
