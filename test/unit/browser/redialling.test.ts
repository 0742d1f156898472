import { describe, expect, it } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { arrive } from './fake-audio.ts';
import {
  attached,
  backend,
  begin,
  call,
  dialUp,
  network,
  pass,
  resumableCalls,
  speak,
  told,
} from './resumable-call.ts';

resumableCalls();

describe('where the page dials, and with what', () => {
  it("the owner's name first, at the same port and path; the original URL after a failure, and so on in turn", async () => {
    await dialUp({}, { host: '01.voice.example' });
    network.mode = 'refused';
    backend(0).session.lose();
    await pass(3000);
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

  it("an old session that gave way to the page's own new one is no other page", async () => {
    await dialUp();
    await speak(50);
    await pass(2300);
    backend(0).session.close({ closeCode: SessionCloseCode.ATTACHED_ELSEWHERE, reason: '' });
    await arrive();
    backend(1).ready(attached());
    await arrive();
    expect(call.state).toBe('ready');
  });
});

describe('hanging up without a network', () => {
  it('delivers the rest when there is one in time', async () => {
    await dialUp();
    await speak(100);
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    const end = call.hangUp();
    await arrive();
    expect(call.state).toBe('ending');
    network.mode = 'open';
    await pass(2000);
    backend(1).ready(attached());
    await arrive();
    const { samples } = call.stats.microphone;
    expect(backend(1).microphoneSamples).toBe(samples);
    backend(1).received(samples);
    await pass(50);
    expect(await end).toEqual({ error: undefined, undeliveredMs: 0 });
    expect(backend(1).closeInfo).toMatchObject({ closeCode: SessionCloseCode.NORMAL });
  });

  it('says after 5 s how much was not delivered', async () => {
    await dialUp();
    await speak(100);
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    const end = call.hangUp();
    await pass(5200);
    expect(await end).toMatchObject({ error: undefined });
    expect((await end).undeliveredMs).toBe(Math.round(call.stats.microphone.samples / 24));
  });
});

describe('more than can be kept', () => {
  it('is told, with how much is gone', async () => {
    await dialUp({ resumeFor: 600_000 });
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    for (let i = 0; i < 123; i++) await speak(188);
    const overflows = told('microphoneOverflow') as { keptMs: number; lostMs: number }[];
    expect(overflows.length).toBeGreaterThan(1);
    expect(overflows.length).toBeLessThan(6);
    expect(overflows.at(-1)!.keptMs).toBe(120_000);
    expect(overflows.at(-1)!.lostMs).toBeGreaterThan(2000);
  });
});
