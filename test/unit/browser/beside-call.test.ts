import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../../browser/call.ts';
import type { CallState } from '../../../browser/call-types.ts';
import { Emitter } from '../../../browser/emitter.ts';
import { keepAwake } from '../../../browser/keep-awake.ts';
import { MutedSpeech } from '../../../browser/muted-speech.ts';
import * as onDemand from '../../../browser/on-demand.ts';
import { comfortTone, cueSounds, type SoundingCall } from '../../../browser/sounds.ts';
import type { Message } from '../../../proto/voice/index.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend } from './fake-backend.ts';

/** A call that says what the test says. */
class FakeCall {
  state: CallState = 'ready';
  readonly #events = new Emitter<{ state: CallState; event: Message; muted: boolean }>();
  readonly on: SoundingCall['on'] = (name: never, listener: never) => this.#events.on(name, listener);

  become(state: CallState): void {
    this.state = state;
    this.#events.emit('state', state);
  }

  event(event: Message): void {
    this.#events.emit('event', event);
  }

  mute(muted: boolean): void {
    this.#events.emit('muted', muted);
  }
}

/** Tones that were begun, by their pitch. */
const tones: number[] = [];
const contexts: { state: string }[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  tones.length = 0;
  contexts.length = 0;
  const param = { setValueAtTime: () => {}, linearRampToValueAtTime: () => {} };
  vi.stubGlobal(
    'AudioContext',
    class {
      state = 'running';
      readonly currentTime = 0;
      readonly destination = {};
      constructor() {
        contexts.push(this);
      }
      async close() {
        this.state = 'closed';
      }
    },
  );
  vi.stubGlobal('GainNode', function GainNode() {
    return { gain: param, connect: (next: unknown) => next };
  });
  vi.stubGlobal('OscillatorNode', function OscillatorNode(_: unknown, { frequency }: { frequency: number }) {
    return { connect: (next: unknown) => next, start: () => tones.push(frequency), stop: () => {} };
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const toolCall = { type: 'response.done', response: { output: [{ type: 'function_call' }] } };

describe('the comfort tone', () => {
  it('sounds while the page dials again and while a function runs, not in the first moment, and stops with the call', () => {
    const call = new FakeCall();
    comfortTone(call, { hz: 300, everyMs: 1000 });
    call.become('reconnecting');
    vi.advanceTimersByTime(700);
    call.become('ready');
    vi.advanceTimersByTime(5000);
    expect(tones).toEqual([]);
    call.become('reconnecting');
    vi.advanceTimersByTime(2900);
    expect(tones).toEqual([300, 300, 300]);
    call.become('ready');
    call.event(toolCall);
    vi.advanceTimersByTime(900);
    expect(tones).toHaveLength(4);
    call.event({ type: 'response.created' });
    vi.advanceTimersByTime(5000);
    expect(tones).toHaveLength(4);
    call.event(toolCall);
    call.become('ended');
    vi.advanceTimersByTime(5000);
    expect(tones).toHaveLength(4);
    expect(contexts.map(({ state }) => state)).toEqual(['closed']);
  });

  it('sounds for what was chosen, and takes events of any shape', () => {
    const call = new FakeCall();
    const stop = comfortTone(call, { during: ['tool'] });
    call.become('reconnecting');
    for (const response of [undefined, null, 7, { output: 7 }, { output: [null, 7, {}] }])
      call.event({ type: 'response.done', response });
    vi.advanceTimersByTime(10_000);
    expect(tones).toEqual([]);
    call.event(toolCall);
    vi.advanceTimersByTime(1000);
    expect(tones).toEqual([440]);
    stop();
    vi.advanceTimersByTime(10_000);
    expect(tones).toHaveLength(1);
  });
});

describe('cue sounds', () => {
  it('are heard when the call is ready, muted, unmuted and over; not again when it was interrupted', () => {
    const call = new FakeCall();
    call.state = 'connecting';
    cueSounds(call);
    call.become('ready');
    expect(tones).toEqual([523, 659]);
    call.become('reconnecting');
    call.become('ready');
    call.mute(true);
    call.mute(false);
    call.become('ended');
    expect(tones).toEqual([523, 659, 392, 523, 659, 523]);
    vi.advanceTimersByTime(1000);
    expect(contexts.map(({ state }) => state)).toEqual(['closed']);
  });
});

describe('helpers that are loaded on demand', () => {
  it('sound for what happened while they were loaded, and stop at once when they were stopped meanwhile', async () => {
    vi.useRealTimers();
    const call = new FakeCall();
    call.state = 'connecting';
    onDemand.cueSounds(call);
    onDemand.comfortTone(call)();
    call.become('ready');
    await vi.waitFor(() => expect(tones).toEqual([523, 659]));
    await vi.waitFor(() => expect(contexts.map(({ state }) => state)).toEqual(['running', 'closed']));
  });
});

describe('a screen that is kept on', () => {
  it('is let go with the call, and asked for again when the page is seen again', async () => {
    const log: string[] = [];
    const document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    const request = async () => {
      log.push('on');
      return { release: async () => void log.push('off') };
    };
    vi.stubGlobal('document', document);
    vi.stubGlobal('navigator', { wakeLock: { request } });
    const call = new FakeCall();
    keepAwake(call);
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual(['on']);
    document.visibilityState = 'hidden';
    document.dispatchEvent(new Event('visibilitychange'));
    document.visibilityState = 'visible';
    document.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual(['on', 'on', 'off']);
    call.become('ended');
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual(['on', 'on', 'off', 'off']);
    document.dispatchEvent(new Event('visibilitychange'));
    expect(log).toHaveLength(4);
  });

  it('harms nothing where the browser has no wake locks, or refuses one', async () => {
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
    vi.stubGlobal('navigator', {});
    keepAwake(new FakeCall())();
    vi.stubGlobal('navigator', { wakeLock: { request: () => Promise.reject(new Error('no')) } });
    keepAwake(new FakeCall())();
    await vi.advanceTimersByTimeAsync(1);
  });
});

describe('a caller who speaks and is muted', () => {
  it('is told at the beginning and each 10 s, not of a click or a quiet room', () => {
    const speech = new MutedSpeech();
    expect([0.1, 0.1, 0.001, 0.1, 0.1].map((level) => speech.take(level))).not.toContain(true);
    expect(speech.take(0.1)).toBe(true);
    const later = Array.from({ length: 100 }, () => speech.take(0.1));
    expect(later.filter(Boolean)).toHaveLength(2);
    speech.reset();
    expect([0.1, 0.1, 0.1].map((level) => speech.take(level))).toEqual([false, false, true]);
    expect(Array.from({ length: 200 }, () => speech.take(0.005))).not.toContain(true);
  });

  it('is told by the call, of which no sample leaves the worklet meanwhile', async () => {
    vi.useRealTimers();
    const audio = await FakeBrowserAudio.install();
    const backends = FakeBackend.install();
    const call = connect({
      url: 'https://voice.example/voice',
      worklets: { microphone: 'm.js', playback: 'p.js' },
    });
    let told = 0;
    call.on('speakingWhileMuted', () => {
      told += 1;
    });
    await arrive();
    backends[0]!.ready();
    await arrive();
    const microphone = audio.worklet('parley-microphone');
    microphone.run(50, 0.2);
    await arrive();
    expect(call.microphoneState).toBe('live');
    call.mute();
    await arrive();
    const { samples } = call.stats.microphone;
    microphone.run(250, 0.2);
    await arrive();
    expect(told).toBe(1);
    expect(call.stats.microphone.samples).toBe(samples);
    call.unmute();
    await arrive();
    microphone.run(250, 0.2);
    await arrive();
    expect(told).toBe(1);
    backends[0]!.session.lose();
    await arrive();
  });
});
