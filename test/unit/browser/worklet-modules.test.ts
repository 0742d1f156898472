import { expect, it, vi } from 'vitest';
import { addWorklet } from '../../../browser/worklet-modules.ts';

// The build puts their code in its place.
vi.stubGlobal('PARLEY_WORKLETS', { microphone: '', playback: '' });

/** A context that gives no module, and which were asked for. */
function refusing(state: AudioContextState) {
  const asked: string[] = [];
  const addModule = async (url: string | URL) => {
    asked.push(String(url));
    throw new Error(`no module for ${state}`);
  };
  return { asked, context: { state, audioWorklet: { addModule } } as unknown as AudioContext };
}

it('tries another way where a worklet cannot be loaded, and none where the context was closed meanwhile', async () => {
  const open = refusing('running');
  await expect(addWorklet(open.context, 'playback', undefined)).rejects.toThrow('no module for running');
  expect(open.asked.map((url) => new URL(url).protocol)).toEqual(['blob:', 'file:']);
  const closed = refusing('closed');
  await expect(addWorklet(closed.context, 'playback', undefined)).rejects.toThrow('no module for closed');
  expect(closed.asked.map((url) => new URL(url).protocol)).toEqual(['blob:']);
});
