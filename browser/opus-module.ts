import type * as module from './opus/index.ts';

/** What encodes and sends Opus. */
export type OpusModule = Pick<typeof module, 'sendOpus' | 'runInOf' | 'LOOK_AHEAD_SAMPLES'>;
/** What decodes it. */
export type OpusDecoderModule = Pick<typeof module, 'AnswerOpus'>;

/** Whether this browser may be able to encode Opus; `loadOpus` knows. */
export function offersOpus(): boolean {
  return typeof AudioEncoder !== 'undefined' && typeof AudioData !== 'undefined';
}

/** Whether this browser may be able to decode Opus; `loadOpusDecoder` knows. */
export function takesOpus(): boolean {
  return typeof AudioDecoder !== 'undefined' && typeof EncodedAudioChunk !== 'undefined';
}

/** The module that encodes, from a file of its own; undefined where the browser cannot encode. A failed load is tried again. */
export const loadOpus = once(async (): Promise<OpusModule | undefined> => {
  const { canEncodeOpus, sendOpus, runInOf, LOOK_AHEAD_SAMPLES } = await import('./opus/index.ts');
  return (await canEncodeOpus()) ? { sendOpus, runInOf, LOOK_AHEAD_SAMPLES } : undefined;
});

/** The same for decoding. */
export const loadOpusDecoder = once(async (): Promise<OpusDecoderModule | undefined> => {
  const { AnswerOpus, canDecodeOpus } = await import('./opus/index.ts');
  return (await canDecodeOpus()) ? { AnswerOpus } : undefined;
});

/** Loads when it is asked for first; what failed is undefined, and tried again. */
function once<T>(load: () => Promise<T | undefined>): () => Promise<T | undefined> {
  let loading: Promise<T | undefined> | undefined;
  return () => {
    loading ??= load().catch(() => {
      loading = undefined;
      return undefined;
    });
    return loading;
  };
}
