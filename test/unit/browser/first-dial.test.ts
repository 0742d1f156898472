import { describe, expect, it, vi } from 'vitest';
import type { CallError } from '../../../browser/errors.ts';
import { REDIAL_STEPS_MS } from '../../../browser/redial.ts';
import { errorMessage, SessionCloseCode } from '../../../proto/voice/index.ts';
import { arrive } from './fake-audio.ts';
import {
  audio,
  backend,
  begin,
  call,
  callsOverSessions,
  network,
  pass,
  speak,
  told,
} from './resume-scene.ts';

callsOverSessions();

const ended = () => told('ended') as { error: CallError | undefined }[];

describe('the first dial of a call that fails', () => {
  it('is tried again, and what was said meanwhile reaches the backend from its first sample', async () => {
    network.mode = 'refused';
    begin();
    await arrive();
    await speak(50);
    await pass(2000);
    expect(call.state).toBe('connecting');
    const dials = network.urls.length;
    expect(dials).toBeGreaterThanOrEqual(3);
    network.mode = 'open';
    await pass(3000);
    expect(network.urls).toHaveLength(dials + 1);
    // It is a new call to the backend.
    expect(backend(0).resume).toBeUndefined();
    expect(new Set(network.urls)).toEqual(new Set(['https://voice.example:4433/voice']));
    backend(0).ready();
    await arrive();
    expect(call.state).toBe('ready');
    expect(backend(0).streams[0]!.header).toMatchObject({ firstSample: 0 });
    expect(backend(0).microphoneSamples).toBe(call.stats.microphone.samples);
    expect(ended()).toEqual([]);
  });

  it('is given up when timeoutMs is over, with what the last attempt met', async () => {
    network.mode = 'refused';
    begin({ timeoutMs: 6000 });
    await arrive();
    await pass(2000);
    expect(ended()).toEqual([]);
    await pass(4000);
    expect(ended()).toMatchObject([{ error: { code: 'unreachable' } }]);
    const dials = network.urls.length;
    expect(dials).toBeLessThanOrEqual(6);
    await pass(10_000);
    expect(network.urls).toHaveLength(dials);
  });

  it('is not tried again when the backend said no, and the connection was lost with the close code', async () => {
    begin();
    await arrive();
    const sentence = 'You have as many calls as you may have at once.';
    backend(0).send({ ...errorMessage('unauthorized', sentence), last: true });
    await arrive();
    backend(0).session.lose();
    await pass(3000);
    expect(network.urls).toHaveLength(1);
    expect(ended()).toMatchObject([
      { error: { code: 'closed_by_server', closeCode: SessionCloseCode.UNAUTHORIZED, retry: false } },
    ]);
    expect(ended()[0]!.error!.message).toContain(sentence);
  });

  it('is given up in time when the last attempt gets no answer', async () => {
    network.mode = 'refused';
    begin({ timeoutMs: 6000 });
    await arrive();
    network.mode = 'silent';
    await pass(5900);
    expect(ended()).toEqual([]);
    await pass(150);
    expect(ended()).toMatchObject([{ error: { code: 'timeout' } }]);
    expect(ended()[0]!.error!.message).toContain('within 6 seconds');
  });

  it('is tried again at once when the network returns', async () => {
    network.mode = 'refused';
    begin();
    await pass(1600);
    const dials = network.urls.length;
    network.mode = 'open';
    audio.window.dispatchEvent(new Event('online'));
    await arrive();
    expect(network.urls).toHaveLength(dials + 1);
  });

  it('is tried again after the first step when it failed though the network returned meanwhile', async () => {
    network.mode = 'refused';
    begin();
    await pass(4500);
    network.mode = 'open';
    await pass(3300);
    const dials = network.urls.length;
    expect(dials).toBeGreaterThan(3);
    audio.window.dispatchEvent(new Event('online'));
    backend(0).session.lose();
    await pass(REDIAL_STEPS_MS[0]);
    expect(network.urls).toHaveLength(dials + 1);
  });

  it.each([
    ['lost', () => backend(0).session.lose()],
    [
      'closed by a backend that ends',
      () => backend(0).session.close({ closeCode: SessionCloseCode.SHUTTING_DOWN, reason: 'it ends' }),
    ],
  ])('is tried again when its session is %s before the call is ready', async (_, end) => {
    begin();
    await arrive();
    await speak(20);
    end();
    await pass(600);
    expect(network.backends).toHaveLength(2);
    expect(backend(1).resume).toBeUndefined();
    backend(1).ready();
    await arrive();
    await speak(20);
    expect(call.state).toBe('ready');
    expect(backend(1).microphoneSamples).toBe(call.stats.microphone.samples);
    expect(call.stats.resumptions).toBe(0);
  });

  it.each([
    SessionCloseCode.UNAUTHORIZED,
    SessionCloseCode.UPSTREAM_REFUSED,
    SessionCloseCode.UNSUPPORTED,
    SessionCloseCode.WRONG_HOOK_ANSWER,
  ])('is not tried again when the backend refuses the call with close code %i', async (closeCode) => {
    begin();
    await arrive();
    backend(0).session.close({ closeCode, reason: 'no' });
    await arrive();
    expect(ended()).toMatchObject([{ error: { code: 'closed_by_server', closeCode, retry: false } }]);
    await pass(10_000);
    expect(network.urls).toHaveLength(1);
  });

  it('is not tried again when the options are wrong, nor once the call was hung up', async () => {
    begin({ url: 'http://voice.example/' });
    await arrive();
    expect(ended()).toMatchObject([{ error: { code: 'bad_options' } }]);
    network.mode = 'refused';
    begin();
    await arrive();
    void call.hangUp();
    await pass(10_000);
    expect(network.urls).toHaveLength(1);
  });
});

it('begins before the audio engine, of which the first of a browser holds the page up', async () => {
  const order: string[] = [];
  for (const name of ['WebTransport', 'AudioContext'] as const) {
    const Real = globalThis[name] as new (...given: unknown[]) => object;
    vi.stubGlobal(name, function Noted(...given: unknown[]) {
      order.push(name);
      return new Real(...given);
    });
  }
  begin();
  await arrive();
  expect(order).toEqual(['WebTransport', 'AudioContext']);
});
