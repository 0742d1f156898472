import { describe, expect, it } from 'vitest';
import { errorMessage, SessionCloseCode } from '../../../proto/voice/index.ts';
import { arrive } from './fake-audio.ts';
import {
  attached,
  backend,
  call,
  callsOverSessions,
  dialUp,
  network,
  pass,
  speak,
  told,
} from './resume-scene.ts';

callsOverSessions();

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

  it('an event that was kept is acknowledged before the session is closed', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    call.send({ type: 'response.create' });
    const end = call.hangUp();
    network.mode = 'open';
    await pass(2000);
    backend(1).ready(attached());
    await pass(500);
    expect(backend(1).messages.map(({ type }) => type)).toContain('response.create');
    expect(call.state).toBe('ending');
    backend(1).send({ type: 'parley.received', microphoneSamples: 0, events: 1 });
    await pass(50);
    expect(await end).toEqual({ error: undefined, undeliveredMs: 0 });
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

describe('a server that shuts down', () => {
  const goodbye = { closeCode: SessionCloseCode.SHUTTING_DOWN, reason: 'the backend ends' };

  it('is named to the page, which dials again by itself, at once when it is asked to, and in the end says so', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).session.close(goodbye);
    await arrive();
    expect(call.state).toBe('reconnecting');
    expect(told('reconnecting')).toMatchObject([
      {
        error: {
          code: 'closed_by_server',
          closeCode: 14,
          message: expect.stringContaining('is shutting down'),
        },
      },
    ]);
    await pass(20_000);
    const before = network.urls.length;
    expect(before).toBeGreaterThan(4);
    expect(before).toBeLessThan(12);
    call.reconnect();
    await arrive();
    expect(network.urls.length).toBe(before + 1);
    await pass(45_000);
    expect(told('ended')).toMatchObject([
      {
        error: {
          message: expect.stringMatching(
            /^The voice server shut down, and did not come back within 6\d seconds\.$/,
          ),
          advice: 'Check that it runs, then call again.',
        },
      },
    ]);
  });

  it('is named as well where its last word came, and the connection was lost with the close code', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).send({ ...errorMessage('shutting_down', 'It ends.'), last: true });
    await arrive();
    backend(0).session.lose();
    await arrive();
    expect(told('reconnecting')).toMatchObject([
      { error: { code: 'closed_by_server', closeCode: SessionCloseCode.SHUTTING_DOWN } },
    ]);
    await pass(65_000);
    expect(told('ended')).toMatchObject([
      { error: { message: expect.stringMatching(/^The voice server shut down/) } },
    ]);
  });

  it('ends the call where its last word did, and only that', async () => {
    await dialUp();
    backend(0).send({ ...errorMessage('event_refused', 'This ends no session.'), last: true });
    await arrive();
    backend(0).session.lose();
    await arrive();
    expect(told('reconnecting')).toMatchObject([{ error: { code: 'connection_lost' } }]);
    await pass(2000);
    backend(1).ready(attached());
    await arrive();
    backend(1).send({ ...errorMessage('session_time_limit', 'After 2 hours.'), last: true });
    await arrive();
    backend(1).session.lose();
    await arrive();
    expect(told('ended')).toMatchObject([
      {
        error: {
          closeCode: SessionCloseCode.SESSION_TIME_LIMIT,
          message: expect.stringContaining('2 hours'),
        },
      },
    ]);
  });

  it('a network that is lost is not called a server that ended', async () => {
    await dialUp();
    network.mode = 'refused';
    backend(0).session.lose();
    await arrive();
    expect(told('reconnecting')).toMatchObject([
      { error: { code: 'connection_lost', closeCode: undefined } },
    ]);
    await pass(65_000);
    expect(told('ended')).toMatchObject([
      { error: { message: expect.stringMatching(/^The connection to the voice server was lost/) } },
    ]);
  });
});

describe('a session that the backend gives up for a newer one', () => {
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

  it('one that went on after the new one had failed does give way to another page', async () => {
    await dialUp();
    await speak(50);
    await pass(2300);
    backend(1).session.lose();
    for (let second = 0; second < 7; second++) {
      backend(0).received(call.stats.microphone.samples);
      await pass(1000);
    }
    expect(call.state).toBe('ready');
    backend(0).session.close({ closeCode: SessionCloseCode.ATTACHED_ELSEWHERE, reason: '' });
    await pass(300);
    expect(told('ended')).toMatchObject([{ error: { closeCode: SessionCloseCode.ATTACHED_ELSEWHERE } }]);
  });
});
