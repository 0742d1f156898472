import { describe, expect, it } from 'vitest';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
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
