/**
 * The few PCM helpers that run inside the worklets. They stand apart from `proto/voice/pcm.ts` so that a worklet's
 * bundle does not carry the schemas of the control stream.
 */

/** Samples per second of every PCM16 stream of the voice protocol. */
export const VOICE_RATE = 24_000;

/** One float sample (-1 to 1, clipped beyond) as a signed 16-bit integer. */
export function toPcm16(value: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round(value * 32_768)));
}

/**
 * The octets of PCM16 samples, as a view. Typed arrays have the machine's byte order; every machine that runs a
 * browser with WebTransport is little-endian, as the voice protocol is.
 */
export function octetsOf(samples: Int16Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** Root mean square of PCM16 samples, 0 to 1. */
export function levelOf(samples: Int16Array): number {
  if (samples.length === 0) return 0;
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length) / 32_768;
}
