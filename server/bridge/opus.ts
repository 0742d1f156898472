import { OPUS_CODEC, type OpusDecoding, SAMPLE_RATE, VOICE_CODEC } from '../../proto/voice/index.ts';

/** Codecs of microphone streams that this backend takes. */
export const MICROPHONE_CODECS: readonly string[] = Object.freeze([VOICE_CODEC, OPUS_CODEC]);

/**
 * A fresh decoder. libopus comes as WebAssembly and is compiled when the first call needs it (some 30 ms, once in a process); a decoder
 * is 18 KiB of its memory, and a packet of 20 ms takes about 30 µs.
 */
export async function createOpusDecoder(): Promise<OpusDecoding> {
  const { createDecoder } = await import('libopus-wasm');
  const decoder = await createDecoder({ sampleRate: SAMPLE_RATE, channels: 1 });
  return {
    decode: (packet) => {
      try {
        return decoder.decode(packet);
      } catch {
        // What libopus says of it is a number; which packet it was is what helps.
        return undefined;
      }
    },
    free: () => decoder.free(),
  };
}
