import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Call, connect } from '../../../browser/call.ts';
import type { CallEnd } from '../../../browser/call-types.ts';
import { CallError } from '../../../browser/errors.ts';
import type { Outage } from '../../../browser/outage-watch.ts';
import { MAX_MESSAGE_OCTETS } from '../../../proto/voice/index.ts';
import { arrive, BLOCK, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend } from './fake-backend.ts';

const WORKLETS = { microphone: 'm.js', playback: 'p.js' };
const SECOND = 24_000;

let audio: FakeBrowserAudio;
let backend: FakeBackend;
let call: Call;
const events: { name: string; value: unknown }[] = [];
const told = (name: string) => events.filter((event) => event.name === name).map(({ value }) => value);

beforeEach(async () => {
  audio = await FakeBrowserAudio.install();
  const backends = FakeBackend.install();
  events.length = 0;
  call = connect({ url: 'https://voice.example/voice', worklets: WORKLETS });
  for (const name of ['answerLevel', 'cleared', 'microphone', 'state', 'ended', 'outage'] as const) {
    call.on(name, (value) => events.push({ name, value }));
  }
  await arrive();
  backend = backends[0]!;
  backend.ready();
  await arrive();
});
afterEach(async () => {
  vi.useRealTimers();
  backend.session.lose();
  await arrive();
  vi.unstubAllGlobals();
});

/** Runs playback; gives how many samples of an answer were heard, those of the ramp to silence left out. */
const play = async (blocks: number) => {
  const heard = audio.worklet('parley-playback').run(blocks);
  await arrive();
  return heard.filter((sample) => Math.abs(sample) > 0.243).length;
};
const speak = async (samples: number) => {
  audio.worklet('parley-microphone').run(Math.ceil(samples / BLOCK), 0.1);
  await arrive();
};

describe('what cuts an answer', () => {
  it('a clear of a response stops its items and drops those whose streams come later, in a new item too', async () => {
    await backend.answer('resp_1', 'item_a', SECOND);
    await arrive();
    expect(await play(50)).toBeGreaterThan(0);
    backend.clear('resp_1');
    await arrive();
    expect(backend.of('parley.playback.position').at(-1)).toMatchObject({
      itemId: 'item_a',
      playedSamples: 50 * BLOCK,
      cleared: true,
    });
    expect(backend.messages.at(-1)).toEqual({ type: 'parley.playback.cleared', responseIds: ['resp_1'] });
    await backend.answer('resp_1', 'item_b', SECOND, true);
    await backend.answer('resp_2', 'item_c', SECOND);
    await arrive();
    expect(await play(10)).toBe(10 * BLOCK);
    expect(call.answers).toMatchObject([
      { itemId: 'item_a', cleared: true, playedSamples: 50 * BLOCK },
      { itemId: 'item_b', cleared: true, playedSamples: 0, complete: false },
      { itemId: 'item_c', cleared: false, playedSamples: 10 * BLOCK },
    ]);
    expect(backend.cancelled).toEqual(['item_b']);
  });

  it('a response that is cleared before anything of it came is answered at once and never heard', async () => {
    backend.clear('resp_1');
    await arrive();
    expect(backend.of('parley.playback.position')).toEqual([]);
    expect(backend.of('parley.playback.cleared')).toHaveLength(1);
    await backend.answer('resp_1', 'item_a', SECOND);
    await arrive();
    expect(await play(20)).toBe(0);
  });

  it('interrupt stops at once all that was not heard, tells the backend, and says how much was heard', async () => {
    await backend.answer('resp_1', 'item_a', BLOCK * 10);
    await backend.answer('resp_2', 'item_b', SECOND);
    await arrive();
    await play(30);
    const stopped = call.interrupt();
    // What the page sends next comes after the interruption.
    call.send({ type: 'response.create' });
    await arrive();
    expect(await play(10)).toBe(0);
    expect(await stopped).toMatchObject([{ itemId: 'item_b', playedSamples: 20 * BLOCK }]);
    const types = backend.messages.map(({ type }) => type);
    expect(types.indexOf('parley.interrupt')).toBeLessThan(types.indexOf('response.create'));
    // The backend asks for the same cut; nothing is told to the page a second time.
    backend.clear('resp_2');
    await arrive();
    expect(backend.messages.at(-1)).toEqual({ type: 'parley.playback.cleared', responseIds: ['resp_2'] });
    expect(told('cleared')).toHaveLength(1);
    expect(call.answers[0]).toMatchObject({ cleared: false, finished: true });
  });

  for (const event of [
    { type: 'response.cancel' },
    { type: 'response.cancel', response_id: 'resp_1' },
    { type: 'output_audio_buffer.clear' },
    { type: 'conversation.item.truncate', item_id: 'item_a', content_index: 0, audio_end_ms: 0 },
  ]) {
    it(`${Object.keys(event).join(', ')} of ${event.type}: the sound stops with the event`, async () => {
      await backend.answer('resp_1', 'item_a', SECOND);
      await arrive();
      await play(20);
      call.send(event);
      await arrive();
      expect(await play(20)).toBe(0);
      expect(backend.of(event.type)).toEqual([event]);
      expect(call.answers).toMatchObject([{ cleared: true, playedSamples: 20 * BLOCK }]);
    });
  }

  it('an event that names another response or item stops nothing', async () => {
    await backend.answer('resp_1', 'item_a', SECOND);
    await arrive();
    call.send({ type: 'response.cancel', response_id: 'resp_2' } as { type: string });
    call.send({ type: 'conversation.item.truncate', item_id: 'item_x' } as { type: string });
    expect(await play(10)).toBe(10 * BLOCK);
  });

  it('the answer meter falls to 0 and stays there, also when the worklet reports late', async () => {
    await backend.answer('resp_1', 'item_a', SECOND);
    await arrive();
    await play(30);
    expect(Math.max(...(told('answerLevel') as number[]))).toBeGreaterThan(0.2);
    await play(3);
    backend.clear('resp_1');
    await arrive();
    await play(40);
    expect(told('answerLevel').at(-1)).toBe(0);
  });

  it('the answer meter is at 0 after an answer that was heard to its end', async () => {
    await backend.answer('resp_1', 'item_a', BLOCK * 12);
    await arrive();
    await play(60);
    expect(told('answerLevel').length).toBeGreaterThan(0);
    expect(told('answerLevel').at(-1)).toBe(0);
  });
});

describe('an event that is too long', () => {
  it('is refused where it is sent, with the bound, and the call goes on', async () => {
    const event = { type: 'conversation.item.create', item: { image: 'A'.repeat(MAX_MESSAGE_OCTETS) } };
    expect(() => call.send(event)).toThrow(CallError);
    expect(() => call.send(event)).toThrow(String(MAX_MESSAGE_OCTETS));
    const commit = { type: 'input_audio_buffer.commit', filler: 'A'.repeat(1 << 20) };
    expect(() => call.send(commit)).toThrow(CallError);
    await arrive();
    expect(call.state).toBe('ready');
    expect(backend.messages.map(({ type }) => type)).toEqual(['parley.hello']);
  });
});

describe('hanging up', () => {
  it('waits for the last sample to be acknowledged, for as long as there is progress', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await speak(SECOND);
    let end: CallEnd | undefined;
    void call.hangUp().then((value) => {
      end = value;
    });
    await arrive();
    expect(call.state).toBe('ending');
    const { samples } = call.stats.microphone;
    expect(backend.microphoneSamples).toBe(samples);
    for (let part = 1; part < 8; part++) {
      await vi.advanceTimersByTimeAsync(4000);
      backend.received(Math.floor((samples * part) / 8));
      await arrive();
    }
    expect(call.state).toBe('ending');
    backend.received(samples);
    await arrive();
    expect(end).toEqual({ error: undefined, undeliveredMs: 0 });
  });

  it('gives up after 5 s without progress, and says what did not arrive', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await speak(SECOND);
    const end = call.hangUp();
    await arrive();
    const { samples } = call.stats.microphone;
    backend.received(samples - SECOND / 2);
    await arrive();
    await vi.advanceTimersByTimeAsync(4900);
    expect(call.state).toBe('ending');
    await vi.advanceTimersByTimeAsync(200);
    expect(await end).toEqual({ error: undefined, undeliveredMs: 500 });
  });

  it('ends when the connection goes meanwhile, and says what was not acknowledged', async () => {
    await speak(SECOND);
    const end = call.hangUp();
    await arrive();
    backend.session.lose();
    const { samples } = call.stats.microphone;
    expect(await end).toEqual({ error: undefined, undeliveredMs: Math.round(samples / 24) });
  });
});

describe('the microphone, apart from the line', () => {
  it('is asked for until its first sample has come, and only then live', async () => {
    expect(call.state).toBe('ready');
    expect(call.microphoneState).toBe('asking');
    await speak(480);
    expect(call.microphoneState).toBe('live');
    call.mute();
    expect(call.microphoneState).toBe('muted');
    call.unmute();
    expect(call.microphoneState).toBe('live');
    audio.track.tell('mute');
    audio.track.tell('unmute');
    backend.session.lose();
    await arrive();
    expect(told('microphone')).toEqual([
      { state: 'live', reason: undefined },
      { state: 'muted', reason: undefined },
      { state: 'live', reason: undefined },
      { state: 'muted-by-system', reason: 'track_muted' },
      { state: 'live', reason: undefined },
      { state: 'ended', reason: undefined },
    ]);
  });

  it('a device that vanishes is told; another is asked for, and the call goes on with it', async () => {
    await speak(480);
    let allow = () => {};
    audio.ask = () => new Promise((resolve) => (allow = resolve));
    audio.track.tell('ended');
    await arrive();
    expect(told('microphone').at(-1)).toEqual({ state: 'ended', reason: 'device_lost' });
    expect(audio.worklet('parley-microphone').inputs.size).toBe(0);
    allow();
    await arrive();
    expect(audio.worklet('parley-microphone').inputs.size).toBe(1);
    await speak(480);
    expect(call).toMatchObject({ state: 'ready', microphoneState: 'live' });
    expect(call.stats.microphone.stretches).toBe(1);
  });

  it('a microphone that is taken away for good ends the call with a sentence', async () => {
    await speak(480);
    audio.ask = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    audio.track.tell('ended');
    const { error } = await call.ended;
    expect(error).toMatchObject({ code: 'microphone_denied' });
    expect(told('microphone').at(-1)).toEqual({ state: 'failed', reason: 'not_allowed' });
  });

  it('gives every context back once when the call ends', async () => {
    const refused: unknown[] = [];
    const onRejection = (error: unknown) => refused.push(error);
    process.on('unhandledRejection', onRejection);
    backend.session.lose();
    await call.ended;
    await arrive();
    process.off('unhandledRejection', onRejection);
    expect(refused).toEqual([]);
    expect(audio.contexts.map(({ closed }) => closed)).toEqual([true]);
    expect(audio.track.stopped).toBe(true);
  });
});

describe('an outage', () => {
  it('is told after 3 s without a sign from the server, and again when there is one', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const backends = FakeBackend.install();
    const other = connect({ url: 'https://voice.example/voice', worklets: WORKLETS });
    const outages: Outage[] = [];
    other.on('outage', (outage) => outages.push(outage));
    await arrive();
    const server = backends[0]!;
    server.ready();
    await arrive();
    await vi.advanceTimersByTimeAsync(2900);
    server.received(0);
    await arrive();
    await vi.advanceTimersByTimeAsync(2900);
    expect(outages).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(outages.at(-1)).toMatchObject({ over: false });
    expect(outages.at(-1)!.silentMs).toBeGreaterThanOrEqual(3000);
    server.received(0);
    await arrive();
    expect(outages.at(-1)).toMatchObject({ over: true });
    const told = outages.length;
    await vi.advanceTimersByTimeAsync(2000);
    expect(outages).toHaveLength(told);
    server.session.lose();
    await other.ended;
  });
});
