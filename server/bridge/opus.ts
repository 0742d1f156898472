import { OPUS_CODEC, type OpusDecoding, SAMPLE_RATE, VOICE_CODEC } from '../../proto/voice/index.ts';

/** Codecs of microphone streams that this backend takes. */
export const MICROPHONE_CODECS: readonly string[] = Object.freeze([VOICE_CODEC, OPUS_CODEC]);

/** Loads libopus, 30 ms of work once in a process, so that it is there when the network of a call gets bad. */
export function prepareOpus(): void {
  void import('libopus-wasm').then(({ loadLibopus }) => loadLibopus());
}

/** A fresh decoder: 18 KiB of libopus' memory (WebAssembly); a packet of 20 ms takes it about 30 µs. */
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
