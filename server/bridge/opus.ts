import { OPUS_CODEC, type OpusDecoding, SAMPLE_RATE, VOICE_CODEC } from '../../proto/voice/index.ts';

/** Codecs that this backend takes in microphone streams, and in which it sends answers. */
export const VOICE_CODECS: readonly string[] = Object.freeze([VOICE_CODEC, OPUS_CODEC]);
/** Bits per second of answers: a packet of 20 ms has 80 octets. */
const BITRATE = 32_000;
/** libopus' measure of what it spends on a packet, 0 to 10; from 5 on, what more costs is not heard. */
const COMPLEXITY = 5;

/** An encoder of one stream. */
export interface OpusEncoding {
  /** Samples by which the decoder's output will lag. */
  readonly lookAhead: number;
  /** One packet of a frame of `OPUS_PACKET_SAMPLES`, in memory of its own. */
  encode(frame: Int16Array): Uint8Array;
  /** Gives its memory back. */
  free(): void;
}

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

/**
 * A fresh encoder, in the low-delay mode: it keeps the wave itself, sample by sample, so that Opus and PCM can follow each other without a
 * click, and looks 2.5 ms ahead.
 */
export async function createOpusEncoder(): Promise<OpusEncoding> {
  const { Application, createEncoder } = await import('libopus-wasm');
  const encoder = await createEncoder({
    sampleRate: SAMPLE_RATE,
    channels: 1,
    bitrate: BITRATE,
    application: Application.RestrictedLowDelay,
    complexity: COMPLEXITY,
  });
  return {
    lookAhead: encoder.getLookahead(),
    encode: (frame) => encoder.encode(frame),
    free: () => encoder.free(),
  };
}
