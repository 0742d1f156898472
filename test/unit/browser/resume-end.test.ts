import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Call, connect } from '../../../browser/call.ts';
import type { CallOptions } from '../../../browser/call-types.ts';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend, type FakeNetwork } from './fake-backend.ts';

const WORKLETS = { microphone: 'm.js', playback: 'p.js' };
const URL = 'https://voice.example:4433/voice';

let audio: FakeBrowserAudio;
let network: FakeNetwork;
let call: Call;
let events: { name: string; value: unknown }[] = [];
const told = (name: string) => events.filter((event) => event.name === name).map(({ value }) => value);
const backend = (index: number) => network.backends[index]!;

/** Begins a call that its backend keeps for 60 s. */
async function dialUp(options: Partial<CallOptions> = {}, ready: object = {}): Promise<void> {
  call = connect({ url: URL, worklets: WORKLETS, ...options });
  for (const name of ['state', 'ended', 'resumed', 'cleared', 'event', 'microphoneOverflow'] as const)
    call.on(name, (value) => events.push({ name, value }));
  await arrive();
  backend(0).ready({ resumeSeconds: 60, ...ready });
  await arrive();
}

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
  audio = await FakeBrowserAudio.install();
  network = FakeBackend.network();
  events = [];
});
afterEach(async () => {
  void call.hangUp();
  await pass(7000);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Time goes by, and what is on its way arrives. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    await vi.advanceTimersByTimeAsync(Math.min(50, left));
    await arrive();
  }
}
async function speak(blocks: number): Promise<void> {
  audio.worklet('parley-microphone').run(blocks, 0.1);
  await arrive();
}

const attached = (call: object = {}) => ({ how: 'attached' as const, resumeSeconds: 60, ...call });

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
