import { type HelloMessage, OPUS_CODEC, VOICE_CODEC } from '../proto/voice/index.ts';
import { once } from './once.ts';
import type * as module from './opus/index.ts';
import type { CodecOption } from './opus-choice.ts';

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

/** What a hello says of answers: of none but PCM where Opus is not to be, or cannot be, decoded. */
export function answerOffer(
  option: CodecOption = 'auto',
): Pick<HelloMessage, 'answerCodecs' | 'answerCodec'> {
  if (option === 'pcm' || !takesOpus()) return {};
  return {
    answerCodecs: [VOICE_CODEC, OPUS_CODEC],
    ...(option === 'opus' && { answerCodec: OPUS_CODEC }),
  };
}

/** The module that encodes, from a file of its own; undefined where the browser cannot encode. A failed load is tried again. */
export const loadOpus = /* @__PURE__ */ once(async (): Promise<OpusModule | undefined> => {
  const { canEncodeOpus, sendOpus, runInOf, LOOK_AHEAD_SAMPLES } = await import('./opus/index.ts');
  return (await canEncodeOpus()) ? { sendOpus, runInOf, LOOK_AHEAD_SAMPLES } : undefined;
});

/** The same for decoding. */
export const loadOpusDecoder = /* @__PURE__ */ once(async (): Promise<OpusDecoderModule | undefined> => {
  const { AnswerOpus, canDecodeOpus } = await import('./opus/index.ts');
  return (await canDecodeOpus()) ? { AnswerOpus } : undefined;
});
