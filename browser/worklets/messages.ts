import type { Played } from '../audio/playback-queue.ts';

/** Names under which the worklets register. */
export const MICROPHONE_PROCESSOR = 'parley-microphone';
export const PLAYBACK_PROCESSOR = 'parley-playback';

/** Page to microphone worklet. */
export type MicrophoneCommand = { readonly type: 'open' } | { readonly type: 'close' };

/** Microphone worklet to page: `opened` comes before the first chunk of a stretch, `closed` after the last. */
export type MicrophoneReport =
  | { readonly type: 'opened' }
  | {
      readonly type: 'chunk';
      readonly samples: Int16Array<ArrayBuffer>;
      readonly firstSample: number;
      readonly level: number;
    }
  | { readonly type: 'closed'; readonly emittedSamples: number }
  /** Nothing is taken; how loud it is all the same, each 200 ms: root mean square. */
  | { readonly type: 'muted'; readonly level: number };

/** Page to playback worklet. */
export type PlaybackCommand =
  | { readonly type: 'begin'; readonly key: number }
  | { readonly type: 'samples'; readonly key: number; readonly samples: Int16Array<ArrayBuffer> }
  | { readonly type: 'end'; readonly key: number }
  | { readonly type: 'clear'; readonly id: number; readonly key?: number };

/** Playback worklet to page. */
export type PlaybackReport =
  | {
      readonly type: 'progress';
      readonly current: Played | undefined;
      readonly bufferedSamples: number;
      readonly underruns: number;
      readonly level: number;
    }
  | { readonly type: 'finished'; readonly answers: readonly Played[] }
  | { readonly type: 'cleared'; readonly id: number; readonly answers: readonly Played[] };
