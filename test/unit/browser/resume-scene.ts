import { afterEach, beforeEach, vi } from 'vitest';
import { type Call, connect } from '../../../browser/call.ts';
import type { CallOptions } from '../../../browser/call-types.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend, type FakeNetwork } from './fake-backend.ts';

const WORKLETS = { microphone: 'm.js', playback: 'p.js' };
const URL = 'https://voice.example:4433/voice';

export let audio: FakeBrowserAudio;
export let network: FakeNetwork;
export let call: Call;
let events: { name: string; value: unknown }[] = [];
export const told = (name: string) => events.filter((event) => event.name === name).map(({ value }) => value);
export const backend = (index: number) => network.backends[index]!;

/** Begins a call whose backend has not answered yet. */
export function begin(options: Partial<CallOptions> = {}): void {
  call = connect({ url: URL, worklets: WORKLETS, ...options });
  const names = [
    'state',
    'ended',
    'reconnecting',
    'resumed',
    'cleared',
    'event',
    'microphoneOverflow',
  ] as const;
  for (const name of names) call.on(name, (value) => events.push({ name, value }));
}

/** Begins a call that its backend keeps for 60 s. */
export async function dialUp(options: Partial<CallOptions> = {}, ready: object = {}): Promise<void> {
  begin(options);
  await arrive();
  backend(0).ready({ resumeSeconds: 60, ...ready });
  await arrive();
}

/** A browser's audio, a network and a clock that stands still, fresh for each test. To be called at the top of a file of tests. */
export function callsOverSessions(): void {
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

/** What `parley.ready` says of a call that goes on. */
export const attached = (call: object = {}) => ({ how: 'attached' as const, resumeSeconds: 60, ...call });
