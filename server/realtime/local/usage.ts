import type { RealtimeResponseUsage } from 'openai/resources/realtime/realtime';

/** Tokens of one second of audio, as the real API counts its input. */
const TOKENS_PER_SECOND = 10;
const CHARACTERS_PER_TOKEN = 4;

/** An estimate of what an answer costs, so that usage is not zero; the input is taken to be as long as the output. */
export function usageOf({ text, seconds }: { text: string; seconds: number }): RealtimeResponseUsage {
  const audio_tokens = Math.ceil(seconds * TOKENS_PER_SECOND);
  const text_tokens = Math.ceil(text.length / CHARACTERS_PER_TOKEN);
  const tokens = audio_tokens + text_tokens;
  return {
    total_tokens: tokens * 2,
    input_tokens: tokens,
    output_tokens: tokens,
    input_token_details: { audio_tokens, text_tokens, image_tokens: 0, cached_tokens: 0 },
    output_token_details: { audio_tokens, text_tokens },
  };
}
