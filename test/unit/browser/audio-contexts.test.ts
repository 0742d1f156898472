import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AudioContexts, newAudioContext, START_MS } from '../../../browser/audio-contexts.ts';
import { arrive, FakeAudioContext, FakeBrowserAudio } from './fake-audio.ts';

let audio: FakeBrowserAudio;
const states: string[] = [];

beforeEach(async () => {
  audio = await FakeBrowserAudio.install();
  states.length = 0;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function running(): Promise<{ contexts: AudioContexts; context: FakeAudioContext }> {
  const contexts = new AudioContexts((state) => states.push(state));
  contexts.open(newAudioContext(24_000));
  await arrive();
  return { contexts, context: audio.contexts[0]! };
}

describe('the AudioContexts of a call', () => {
  for (const state of ['suspended', 'interrupted']) {
    it(`one that the system made ${state} comes back by itself`, async () => {
      const { contexts, context } = await running();
      context.become(state);
      await arrive();
      expect(context.state).toBe('running');
      expect(states).toEqual(['running', 'suspended', 'running']);
      contexts.close();
    });
  }

  for (const [what, act] of [
    ['the page is seen again', () => audio.document.dispatchEvent(new Event('visibilitychange'))],
    ['the person clicks', () => audio.window.dispatchEvent(new Event('pointerdown'))],
    ['a device comes', () => audio.mediaDevices.dispatchEvent(new Event('devicechange'))],
    ['a second has passed', () => vi.advanceTimersByTime(1000)],
  ] as const) {
    it(`one that may not run yet is asked again when ${what}`, async () => {
      const { contexts, context } = await running();
      FakeAudioContext.allowed = false;
      context.become('interrupted');
      await arrive();
      expect(contexts.state).toBe('suspended');
      FakeAudioContext.allowed = true;
      act();
      await arrive();
      expect(contexts.state).toBe('running');
      contexts.close();
    });
  }

  it('a start that the browser does not allow is told after a few seconds, and made up for at the first click', async () => {
    FakeAudioContext.allowed = false;
    const { contexts } = await running();
    expect(contexts.state).toBe('starting');
    vi.advanceTimersByTime(START_MS - 1000);
    expect(contexts.state).toBe('starting');
    vi.advanceTimersByTime(1000);
    expect(contexts.state).toBe('suspended');
    FakeAudioContext.allowed = true;
    audio.window.dispatchEvent(new Event('keydown'));
    await arrive();
    expect(states).toEqual(['suspended', 'running']);
    contexts.close();
  });

  it('closes each context once, and leaves no timer or listener behind', async () => {
    const { contexts, context } = await running();
    const resume = vi.spyOn(context, 'resume');
    contexts.close();
    contexts.close();
    context.become('suspended');
    audio.window.dispatchEvent(new Event('pointerdown'));
    await arrive();
    expect(context.closed).toBe(true);
    expect(resume).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
    expect(states).toEqual(['running']);
  });
});
