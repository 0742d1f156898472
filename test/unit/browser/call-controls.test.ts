import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Call, connect, prepare } from '../../../browser/call.ts';
import { pushToTalk } from '../../../browser/push-to-talk.ts';
import { arrive, FakeAudioContext, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend } from './fake-backend.ts';

const OPTIONS = { url: 'https://voice.example/voice', worklets: { microphone: 'm.js', playback: 'p.js' } };

let audio: FakeBrowserAudio;
let backends: FakeBackend[];
beforeEach(async () => {
  audio = await FakeBrowserAudio.install();
  backends = FakeBackend.install();
});
afterEach(async () => {
  backends.at(-1)?.session.lose();
  await arrive();
  vi.unstubAllGlobals();
});

async function ready(call: Call): Promise<FakeBackend> {
  await arrive();
  backends[0]!.ready();
  await arrive();
  expect(call.state).toBe('ready');
  return backends[0]!;
}
/** Types of the API's events that the page sent, those with a place in the audio too. */
const sent = (backend: FakeBackend) =>
  backend.messages
    .map((message) =>
      message.type === 'parley.ordered' ? (message.event as { type: string }).type : message.type,
    )
    .filter((type) => !type.startsWith('parley.'));

describe('a call that is prepared', () => {
  it('has its session without a microphone being asked for; talk asks, once', async () => {
    const call = prepare(OPTIONS);
    await ready(call);
    expect(audio.asked).toEqual([]);
    // Its worklets are there, and it rests: no device is held.
    expect(audio.contexts).toMatchObject([{ state: 'suspended', modules: { length: 2 } }]);
    audio.window.dispatchEvent(new Event('pointerdown'));
    await arrive();
    expect(audio.contexts[0]!.state).toBe('suspended');
    expect(call.microphoneState).toBe('asking');
    call.talk();
    call.talk();
    await arrive();
    expect(audio.asked).toHaveLength(1);
    expect(audio.contexts).toMatchObject([{ state: 'running', modules: { length: 2 } }]);
    audio.worklet('parley-microphone').run(4, 0.1);
    await arrive();
    expect(call.microphoneState).toBe('live');
  });

  it('is hung up like any other', async () => {
    const call = prepare(OPTIONS);
    await ready(call);
    expect(await call.hangUp()).toEqual({ error: undefined, undeliveredMs: 0 });
    expect(audio.contexts).toMatchObject([{ closed: true }]);
    call.talk();
    await arrive();
    expect(audio.asked).toEqual([]);
  });

  it('asks once more for worklets that were not to be had before the click', async () => {
    FakeAudioContext.refusedModules = /./;
    const call = prepare(OPTIONS);
    await ready(call);
    FakeAudioContext.refusedModules = undefined;
    call.talk();
    await arrive();
    audio.worklet('parley-microphone').run(4, 0.1);
    await arrive();
    expect(call.microphoneState).toBe('live');
  });

  it('may be talked in at once, with one engine', async () => {
    const call = prepare(OPTIONS);
    call.talk();
    await ready(call);
    expect(audio.contexts).toHaveLength(1);
    await call.hangUp();
  });
});

describe('devices', () => {
  it('another microphone takes the place of the one before, in the same stretch', async () => {
    const call = connect(OPTIONS);
    await ready(call);
    const [before] = audio.tracks;
    await call.setMicrophone('headset');
    expect(audio.asked.at(-1)).toMatchObject({ deviceId: { exact: 'headset' } });
    expect([before!.stopped, audio.track.stopped]).toEqual([true, false]);
    expect(audio.worklet('parley-microphone').inputs.size).toBe(1);
    audio.worklet('parley-microphone').run(4, 0.1);
    await arrive();
    expect(call).toMatchObject({ microphoneState: 'live', stats: { microphone: { stretches: 1 } } });
  });

  it('one that cannot be had leaves the one before, and says why', async () => {
    const call = connect(OPTIONS);
    await ready(call);
    audio.ask = () => Promise.reject(new DOMException('no', 'OverconstrainedError'));
    await expect(call.setMicrophone('gone')).rejects.toMatchObject({ code: 'microphone_missing' });
    expect(audio.tracks.map(({ stopped }) => stopped)).toEqual([false]);
    expect(call.state).toBe('ready');
  });

  it('answers are played on another speaker, and as loud as wished', async () => {
    const call = connect(OPTIONS);
    call.volume = 0.5;
    await ready(call);
    await call.setSpeaker('headset');
    call.volume = 3;
    expect(audio.contexts[0]!.sinks).toEqual(['headset']);
    expect(audio.contexts[0]!.volumes).toEqual([0.5, 1]);
    expect(call.volume).toBe(1);
    await expect(call.setSpeaker('gone')).rejects.toMatchObject({ code: 'audio_failed' });
    expect(call.state).toBe('ready');
  });

  it('there are none to change before the microphone is asked for', async () => {
    const call = prepare(OPTIONS);
    await ready(call);
    await expect(call.setSpeaker('headset')).rejects.toMatchObject({ code: 'audio_failed' });
  });
});

describe('what the caller does beside talking', () => {
  it('text is an item and asks for an answer', async () => {
    const call = connect(OPTIONS);
    const backend = await ready(call);
    call.sendText('Hello.');
    await arrive();
    expect(sent(backend)).toEqual(['conversation.item.create', 'response.create']);
    expect(backend.of('conversation.item.create')).toMatchObject([
      { item: { role: 'user', content: [{ type: 'input_text', text: 'Hello.' }] } },
    ]);
  });

  it('the transcript is kept, and told', async () => {
    const call = connect(OPTIONS);
    const told: number[] = [];
    call.on('transcript', (list) => told.push(list.length));
    const backend = await ready(call);
    await backend.send({
      type: 'conversation.item.added',
      previous_item_id: null,
      item: { id: 'a', type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello.' }] },
    });
    await arrive();
    expect(told).toEqual([1]);
    expect(call.transcript).toEqual([{ itemId: 'a', role: 'caller', text: 'Hello.', final: true }]);
  });

  it('push-to-talk takes the microphone while the button or the key is down, and asks for an answer at its release', async () => {
    const call = connect({ ...OPTIONS, muted: true });
    const backend = await ready(call);
    vi.stubGlobal('HTMLElement', class {});
    const button = new EventTarget() as HTMLElement;
    const pressed: boolean[] = [];
    const stop = pushToTalk(call, button, { key: 'Space', onChange: (down) => pressed.push(down) });
    const key = (name: string, code: string) =>
      Object.assign(new Event(name, { cancelable: true }), { code, repeat: false });
    button.dispatchEvent(new Event('pointerdown'));
    expect(call.muted).toBe(false);
    button.dispatchEvent(new Event('pointerup'));
    button.dispatchEvent(new Event('lostpointercapture'));
    expect(call.muted).toBe(true);
    audio.window.dispatchEvent(key('keydown', 'KeyA'));
    expect(call.muted).toBe(true);
    audio.window.dispatchEvent(key('keydown', 'Space'));
    expect(call.muted).toBe(false);
    stop();
    expect(call.muted).toBe(true);
    audio.window.dispatchEvent(key('keydown', 'Space'));
    expect(pressed).toEqual([true, false, true, false]);
    await arrive();
    await arrive();
    expect(sent(backend)).toEqual([
      'input_audio_buffer.commit',
      'response.create',
      'input_audio_buffer.commit',
      'response.create',
    ]);
  });
});
