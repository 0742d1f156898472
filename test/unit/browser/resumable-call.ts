import { afterEach, beforeEach, vi } from 'vitest';
import { type Call, connect } from '../../../browser/call.ts';
import type { CallOptions } from '../../../browser/call-types.ts';
import { AudioHash } from '../../../proto/voice/index.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend, type FakeNetwork } from './fake-backend.ts';

const WORKLETS = { microphone: 'm.js', playback: 'p.js' };
export const SECOND = 24_000;
const URL = 'https://voice.example:4433/voice';

export let audio: FakeBrowserAudio;
export let network: FakeNetwork;
export let call: Call;
let events: { name: string; value: unknown }[] = [];
export const told = (name: string) => events.filter((event) => event.name === name).map(({ value }) => value);
export const backend = (index: number) => network.backends[index]!;

/** Begins a call. */
export function begin(options: Partial<CallOptions> = {}): void {
  call = connect({ url: URL, worklets: WORKLETS, ...options });
}

/** Begins a call that its backend keeps for 60 s. */
export async function dialUp(options: Partial<CallOptions> = {}, ready: object = {}): Promise<void> {
  begin(options);
  for (const name of ['state', 'ended', 'resumed', 'cleared', 'event', 'microphoneOverflow'] as const)
    call.on(name, (value) => events.push({ name, value }));
  await arrive();
  backend(0).ready({ resumeSeconds: 60, ...ready });
  await arrive();
}

/** To be called at the top of a file of tests. */
export function resumableCalls(): void {
  beforeEach(async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
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
}

/** Time goes by, and what is on its way arrives. */
export async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    await vi.advanceTimersByTimeAsync(Math.min(50, left));
    await arrive();
  }
}
export async function speak(blocks: number): Promise<void> {
  audio.worklet('parley-microphone').run(blocks, 0.1);
  await arrive();
}
export async function play(blocks: number): Promise<void> {
  audio.worklet('parley-playback').run(blocks);
  await arrive();
}
export const tone = (samples: number, from = 0) =>
  new Uint8Array(Int16Array.from({ length: samples }, (_, i) => 1000 + ((from + i) % 7000)).buffer);
export const hash = (octets: Uint8Array) => new AudioHash().update(octets).digest();
export const attached = (call: object = {}) => ({ how: 'attached' as const, resumeSeconds: 60, ...call });
