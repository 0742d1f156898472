import type * as module from './opus/index.ts';

/** What encodes and sends Opus. */
export type OpusModule = Pick<typeof module, 'sendOpus' | 'runInOf' | 'LOOK_AHEAD_SAMPLES'>;

/** Whether this browser may be able to encode Opus; `loadOpus` knows. */
export function offersOpus(): boolean {
  return typeof AudioEncoder !== 'undefined' && typeof AudioData !== 'undefined';
}

let loading: Promise<OpusModule | undefined> | undefined;

/** The module that encodes, from a file of its own; undefined where the browser cannot encode. A failed load is tried again. */
export function loadOpus(): Promise<OpusModule | undefined> {
  loading ??= load().catch(() => {
    loading = undefined;
    return undefined;
  });
  return loading;
}

async function load(): Promise<OpusModule | undefined> {
  const { canEncodeOpus, sendOpus, runInOf, LOOK_AHEAD_SAMPLES } = await import('./opus/index.ts');
  return (await canEncodeOpus()) ? { sendOpus, runInOf, LOOK_AHEAD_SAMPLES } : undefined;
}
