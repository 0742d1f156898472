import { describe, expect, it } from 'vitest';
import type { Resumed } from '../../../browser/call-types.ts';
import { CallError } from '../../../browser/errors.ts';
import { AudioHash, type Message, SessionCloseCode, StreamCode } from '../../../proto/voice/index.ts';
import { MAX_KEPT_EVENTS } from '../../../proto/voice/resume/page-call.ts';
import { concat } from '../../../proto/wire/index.ts';
import { statsMessage } from '../../../server/bridge/stats.ts';
import { NO_STATS } from '../../support/quic-stats.ts';
import { arrive, BLOCK } from './fake-audio.ts';
import {
  attached,
  audio,
  backend,
  begin,
  call,
  callsOverSessions,
  dialUp,
  network,
  pass,
  speak,
  told,
} from './resume-scene.ts';

callsOverSessions();

const SECOND = 24_000;
async function play(blocks: number): Promise<void> {
  audio.worklet('parley-playback').run(blocks);
  await arrive();
}
const tone = (samples: number, from = 0) =>
  new Uint8Array(Int16Array.from({ length: samples }, (_, i) => 1000 + ((from + i) % 7000)).buffer);
const hash = (octets: Uint8Array) => new AudioHash().update(octets).digest();

describe('a session that is lost in mid-sentence', () => {
  it('is dialled again at once; audio goes on at the sample that the backend names, none lost or doubled', async () => {
    await dialUp();
    await speak(200);
    const kept = 10_000;
    backend(0).received(kept);
    await arrive();
    const before = backend(0).audio;
    backend(0).session.lose();
    await arrive();
    await speak(100);
    expect(call.state).toBe('reconnecting');
    expect(call.stats.microphone.keptMs).toBeCloseTo((call.stats.microphone.samples - kept) / 24);
    await pass(50);
    expect(network.backends).toHaveLength(2);
    expect(backend(1).resume).toMatchObject({ ticket: 'ticket-1', attachment: 1, messages: 0, events: 0 });
    expect(backend(1).streams).toEqual([]);
    backend(1).ready(attached({ microphoneSamples: kept }));
    await arrive();
    await speak(50);
    expect(call.state).toBe('ready');
    expect(backend(1).streams[0]!.header).toMatchObject({ stretch: 0, firstSample: kept });
    const whole = concat([before.subarray(0, kept * 2), backend(1).audio]);
    expect(whole.length / 2).toBe(call.stats.microphone.samples);
    expect(hash(whole)).toBe(call.stats.microphone.hash);
    expect(told('state')).toEqual(['ready', 'reconnecting', 'ready']);
    const [resumed] = told('resumed') as Resumed[];
    expect(resumed).toMatchObject({ how: 'attached', carrier: 'webtransport', omittedItems: 0 });
    expect(call.stats).toMatchObject({ resumptions: 1, carrier: 'webtransport' });
  });

  it('audio that a checkpoint holds is released; an older place is a fault that is told', async () => {
    await dialUp();
    await speak(200);
    backend(0).received(20_000);
    backend(0).send({
      type: 'parley.checkpoint',
      sealed: 'sealed-1',
      microphoneSamples: 15_000,
      events: 0,
      coveredEvents: [],
    });
    await arrive();
    backend(0).session.lose();
    await pass(50);
    expect(backend(1).resume).toMatchObject({ checkpoint: 'sealed-1', microphoneSamples: 15_000 });
  });

  it('while dials fail the page dials on, in time with the window, then says that the call is lost', async () => {
    await dialUp({ resumeFor: 20_000 });
    network.mode = 'refused';
    backend(0).session.lose();
    await pass(19_000);
    expect(call.state).toBe('reconnecting');
    expect(network.urls.length).toBeGreaterThan(5);
    expect(network.urls.length).toBeLessThan(14);
    await pass(1500);
    expect(told('ended')).toMatchObject([{ error: { code: 'connection_lost' } }]);
    expect((told('ended')[0] as { error: CallError }).error.message).toMatch(/within 20 seconds/);
    const dials = network.urls.length;
    await pass(10_000);
    expect(network.urls.length).toBe(dials);
  });

  it('the return of the network wakes it: online, and the page seen again', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).session.lose();
    await pass(15_000);
    for (const [target, name] of [
      [audio.window, 'online'],
      [audio.document, 'visibilitychange'],
      [audio.window, 'pageshow'],
    ] as const) {
      await pass(1000);
      const dials = network.urls.length;
      target.dispatchEvent(new Event(name));
      await arrive();
      expect(network.urls.length).toBe(dials + 1);
    }
    network.mode = 'open';
    audio.window.dispatchEvent(new Event('online'));
    await pass(300);
    backend(1).ready(attached());
    await arrive();
    expect(call.state).toBe('ready');
    expect((told('resumed')[0] as Resumed).outageMs).toBeGreaterThan(15_000);
  });
});

describe('a session that falls silent', () => {
  it('another is dialled after 2 s while audio flows; when the old one comes to life first, it goes on', async () => {
    await dialUp();
    network.mode = 'silent';
    await speak(100);
    await pass(1900);
    expect(call.state).toBe('ready');
    await pass(400);
    expect(call.state).toBe('reconnecting');
    expect(network.urls).toHaveLength(2);
    backend(0).received(call.stats.microphone.samples);
    await arrive();
    expect(call.state).toBe('ready');
    network.mode = 'open';
    await pass(1500);
    expect(network.backends).toHaveLength(1);
    expect(told('resumed')).toEqual([]);
  });

  it('so does one that speaks while audio does not arrive there; to hear it more does not end that, an acknowledgement does', async () => {
    await dialUp();
    const figures = { ...NO_STATS, octetsReceived: 5000 };
    const speaks = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        backend(0).send(statsMessage(figures, 0, 0, {}));
        await pass(1000);
      }
    };
    await speaks(3);
    network.mode = 'silent';
    await speak(100);
    await speaks(1);
    expect(call.state).toBe('ready');
    await speaks(2);
    expect(call.state).toBe('reconnecting');
    const { length: dials } = network.urls;
    expect(dials).toBeGreaterThan(1);
    await speaks(3);
    expect(call.state).toBe('reconnecting');
    backend(0).received(1000);
    await arrive();
    expect(call.state).toBe('ready');
    expect(network.backends).toHaveLength(1);
    expect(told('resumed')).toEqual([]);
  });

  it('when the new one is there first, it is asked, nothing more is taken of the old one, which its backend closes', async () => {
    await dialUp();
    await speak(100);
    backend(0).send({ type: 'response.created' });
    await pass(2300);
    expect(backend(1).resume).toMatchObject({ messages: 1 });
    // These two are late: the new session brings them again.
    backend(0).send({ type: 'response.done' });
    backend(0).received(2000);
    await arrive();
    backend(1).ready(attached({ microphoneSamples: 2000, messages: 1 }));
    await arrive();
    backend(1).send({ type: 'response.done' });
    await arrive();
    expect(told('event').map((event) => (event as Message).type)).toEqual([
      'response.created',
      'response.done',
    ]);
    expect(backend(0).closeInfo).toBeUndefined();
    expect(call.state).toBe('ready');
  });

  it('when the new one fails, the old one is read on', async () => {
    await dialUp();
    await speak(100);
    await pass(2300);
    backend(0).send({ type: 'response.done' });
    await arrive();
    expect(told('event')).toEqual([]);
    network.mode = 'silent';
    backend(1).session.lose();
    await arrive();
    expect(told('event')).toMatchObject([{ type: 'response.done' }]);
  });
});

describe('an answer over two sessions', () => {
  it('goes on where it stopped, each sample once, though the new stream begins earlier', async () => {
    await dialUp();
    await backend(0).answerPart({ answer: 0, pcm: tone(SECOND) });
    await arrive();
    await play(50);
    backend(0).session.lose();
    await pass(50);
    expect(backend(1).resume!.answers).toEqual([{ answer: 0, samples: SECOND, ended: false }]);
    await play(50);
    expect(call.answers[0]!.playedSamples).toBe(100 * BLOCK);
    backend(1).ready(attached());
    await arrive();
    const end = await backend(1).answerPart({ answer: 0, firstSample: 20_000, pcm: tone(10_000, 20_000) });
    end();
    await arrive();
    await play(300);
    const whole = hash(tone(30_000));
    expect(call.answers).toMatchObject([
      { receivedSamples: 30_000, receivedHash: whole, playedHash: whole, complete: true, finished: true },
    ]);
    await pass(300);
    expect(backend(1).of('parley.received').at(-1)).toMatchObject({
      answers: [{ answer: 0, samples: 30_000, ended: true }],
    });
  });

  it('goes on though the old session, which gives way, resets its stream before the new one is ready', async () => {
    await dialUp({}, { host: '01.voice.example' });
    const endOld = await backend(0).answerPart({ answer: 0, pcm: tone(SECOND) });
    await arrive();
    backend(0).send({ type: 'parley.move' });
    await pass(100);
    endOld(StreamCode.SESSION_CLOSED);
    await pass(100);
    backend(1).ready(attached());
    await arrive();
    const end = await backend(1).answerPart({ answer: 0, firstSample: SECOND, pcm: tone(6000, SECOND) });
    end();
    await arrive();
    await play(300);
    const whole = hash(tone(SECOND + 6000));
    expect(call.answers).toMatchObject([{ receivedHash: whole, playedHash: whole, complete: true }]);
  });

  it('is cut by a reset that says so, in a session that is asked to give way too, once it carries on', async () => {
    await dialUp({}, { host: '01.voice.example' });
    const cut = await backend(0).answerPart({ answer: 0, pcm: tone(SECOND) });
    await arrive();
    backend(0).send({ type: 'parley.move' });
    await pass(100);
    cut(StreamCode.BARGE_IN);
    await pass(100);
    expect(call.answers).toMatchObject([{ complete: false, finished: false }]);
    network.mode = 'refused';
    backend(1).session.lose();
    await pass(100);
    await play(300);
    expect(call.answers).toMatchObject([{ complete: false, finished: true, playedSamples: SECOND }]);
  });

  it('one that is over is not taken a second time; a gap is a fault of the backend', async () => {
    await dialUp();
    (await backend(0).answerPart({ answer: 0, pcm: tone(1000) }))();
    await arrive();
    backend(0).session.lose();
    await pass(50);
    backend(1).ready(attached());
    await arrive();
    await backend(1).answerPart({ answer: 0, pcm: tone(1000), itemId: 'again' });
    await arrive();
    expect(call.answers).toHaveLength(1);
    expect(backend(1).cancelled).toEqual(['again']);
    await backend(1).answerPart({ answer: 1, firstSample: 5, pcm: tone(10) });
    await arrive();
    expect(told('ended')).toMatchObject([{ error: { code: 'protocol' } }]);
  });

  it('restored: what came is heard until the new answer begins, then it is cut', async () => {
    await dialUp();
    await backend(0).answerPart({ answer: 0, pcm: tone(SECOND), itemId: 'old' });
    await arrive();
    await play(20);
    backend(0).session.lose();
    await pass(50);
    backend(1).ready({ how: 'restored', resumeSeconds: 60, omittedItems: 2 });
    await arrive();
    await play(20);
    expect(call.answers[0]).toMatchObject({ playedSamples: 40 * BLOCK, cleared: false });
    await backend(1).answerPart({ answer: 1, pcm: tone(5000), itemId: 'new', responseId: 'resp_2' });
    await arrive();
    await play(40);
    expect(call.answers).toMatchObject([
      { itemId: 'old', cleared: true, playedSamples: 40 * BLOCK },
      { itemId: 'new', cleared: false, playedSamples: 5000 },
    ]);
    expect(told('cleared')).toMatchObject([[{ itemId: 'old', playedSamples: 40 * BLOCK }]]);
    expect(told('resumed')).toMatchObject([{ how: 'restored', omittedItems: 2 }]);
  });
});

describe('events without a network', () => {
  it('are kept and sent once, in order, those not acknowledged again', async () => {
    await dialUp();
    call.send({ type: 'a' });
    call.send({ type: 'b' });
    await arrive();
    backend(0).received(0, 1);
    await arrive();
    backend(0).session.lose();
    await arrive();
    call.send({ type: 'c' });
    await pass(50);
    expect(backend(1).resume).toMatchObject({ events: 0 });
    backend(1).ready(attached({ events: 1 }));
    await arrive();
    call.send({ type: 'd' });
    await arrive();
    expect(
      backend(0)
        .messages.slice(1)
        .map(({ type }) => type),
    ).toEqual(['a', 'b']);
    expect(
      backend(1)
        .messages.slice(1)
        .map(({ type }) => type),
    ).toEqual(['b', 'c', 'd']);
  });

  it('keep their place in the audio, which each session counts for itself', async () => {
    await dialUp();
    await speak(100);
    call.send({ type: 'input_audio_buffer.commit' });
    await speak(100);
    const at = (backend(0).of('parley.ordered')[0]!.microphoneSamples as number) ?? 0;
    backend(0).received(at + 100, 1);
    await arrive();
    backend(0).session.lose();
    await arrive();
    await speak(10);
    call.send({ type: 'input_audio_buffer.commit' });
    await speak(10);
    await pass(50);
    backend(1).ready(attached({ microphoneSamples: at + 100, events: 1 }));
    await arrive();
    expect(backend(1).of('parley.ordered')).toHaveLength(1);
    expect(backend(1).streams.map(({ header }) => header)).toMatchObject([
      { stretch: 0, firstSample: at + 100 },
      { stretch: 1, orderedEvents: 1 },
    ]);
    expect(backend(1).streams[0]!.header).not.toHaveProperty('orderedEvents');
  });

  it('beyond their bound are refused with a sentence', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    for (let i = 0; i < MAX_KEPT_EVENTS; i++) call.send({ type: 'x' });
    expect(() => call.send({ type: 'x' })).toThrow(CallError);
    expect(() => call.send({ type: 'x' })).toThrow(/too long/);
    expect(call.state).toBe('reconnecting');
  });
});

describe('a rewind', () => {
  it('stops what is under way and sends again from there, behind parley.rewound', async () => {
    await dialUp();
    await speak(100);
    call.send({ type: 'response.create' });
    await arrive();
    backend(0).received(5000, 1);
    backend(0).send({
      type: 'parley.rewind',
      rewind: 1,
      microphoneSamples: 3000,
      events: 0,
      coveredEvents: [],
    });
    await arrive();
    await speak(10);
    expect(
      backend(0)
        .messages.slice(1)
        .map(({ type }) => type),
    ).toEqual(['response.create', 'parley.rewound', 'response.create']);
    expect(backend(0).streams).toMatchObject([
      { ended: false },
      { header: { stretch: 0, firstSample: 3000, rewind: 1 } },
    ]);
    const { samples } = call.stats.microphone;
    expect(backend(0).streams[1]!.audio.length / 2).toBe(samples - 3000);
  });
});

describe('where the page dials, and with what', () => {
  it("the owner's name first, at the same port and path; the original URL after a failure, and so on in turn", async () => {
    await dialUp({}, { host: '01.voice.example' });
    network.mode = 'refused';
    backend(0).session.lose();
    await pass(5000);
    const hosts = network.urls.slice(1, 5).map((url) => url.replace('https://', '').replace('?resume=1', ''));
    expect(hosts).toEqual([
      '01.voice.example:4433/voice',
      'voice.example:4433/voice',
      '01.voice.example:4433/voice',
      'voice.example:4433/voice',
    ]);
  });

  it('a token function is asked for each dial; one that fails is a dial that failed', async () => {
    let count = 0;
    const token = async () => {
      count += 1;
      if (count === 2) throw new Error('the app server is away');
      return `token-${count}`;
    };
    await dialUp({ token });
    backend(0).session.lose();
    await pass(1000);
    expect(network.urls.map((url) => url.split('token=')[1])).toEqual(['token-1', 'token-3']);
  });

  it('a first token that is refused ends the call with a sentence', async () => {
    const token = () => Promise.reject(new Error('not signed in'));
    begin({ token });
    expect((await call.ended).error).toMatchObject({ code: 'no_token', message: /not signed in/ });
  });

  it('a move goes to the original URL while the old session carries on, which is closed when the new one is ready', async () => {
    await dialUp({}, { host: '01.voice.example' });
    backend(0).send({ type: 'parley.move' });
    await pass(100);
    expect(network.urls[1]).toBe('https://voice.example:4433/voice?resume=1');
    expect(backend(1).resume).toMatchObject({ move: true });
    expect(call.state).toBe('ready');
    expect(backend(0).closeInfo).toBeUndefined();
    backend(1).ready({ how: 'restored', resumeSeconds: 60 });
    await arrive();
    expect(backend(0).closeInfo).toMatchObject({ closeCode: SessionCloseCode.NORMAL });
    expect(told('state')).toEqual(['ready']);
    expect(told('resumed')).toMatchObject([{ how: 'restored' }]);
  });
});

describe('how a session ended decides whether the call goes on', () => {
  const { INTERNAL, SHUTTING_DOWN, HELLO_TIMEOUT, ...others } = SessionCloseCode;
  for (const closeCode of [INTERNAL, SHUTTING_DOWN, HELLO_TIMEOUT]) {
    it(`code ${closeCode}: the page dials again`, async () => {
      await dialUp();
      backend(0).session.close({ closeCode, reason: 'r' });
      await pass(300);
      expect(call.state).toBe('reconnecting');
      expect(network.backends).toHaveLength(2);
    });
  }
  for (const [name, closeCode] of Object.entries(others)) {
    it(`${name}: the call is over, with a sentence`, async () => {
      await dialUp();
      backend(0).session.close({ closeCode, reason: '' });
      await pass(300);
      expect(told('ended')).toMatchObject([{ error: { closeCode, code: 'closed_by_server' } }]);
      expect(network.backends).toHaveLength(1);
    });
  }

  it('a refusal of the resumed call ends it too', async () => {
    await dialUp();
    backend(0).session.lose();
    await pass(50);
    backend(1).session.close({ closeCode: SessionCloseCode.CALL_LOST, reason: '' });
    await pass(300);
    expect(told('ended')).toMatchObject([{ error: { closeCode: SessionCloseCode.CALL_LOST } }]);
  });
});
