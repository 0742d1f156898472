import { SAMPLE_RATE } from './messages.ts';

/** Octets of one PCM16 sample. */
export const OCTETS_PER_SAMPLE = 2;
const FULL_SCALE = 32_768;
const LITTLE_ENDIAN_HOST = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Duration of `samples` at 24 kHz, in ms; not rounded. */
export function samplesToMs(samples: number): number {
  return (samples * 1000) / SAMPLE_RATE;
}

/** Whole samples in `ms` at 24 kHz. */
export function msToSamples(ms: number): number {
  return Math.floor((ms * SAMPLE_RATE) / 1000);
}

/** Floats (-1 to 1; beyond is clipped, NaN is silence) as 16-bit samples. `int16ToFloat32` undoes it exactly. */
export function float32ToInt16(samples: Float32Array, out = new Int16Array(samples.length)): Int16Array {
  for (let i = 0; i < samples.length; i++) {
    out[i] = Math.max(-32_768, Math.min(32_767, Math.round(samples[i]! * FULL_SCALE)));
  }
  return out;
}

/** 16-bit samples as floats from -1 to just under 1. */
export function int16ToFloat32(samples: Int16Array, out = new Float32Array(samples.length)): Float32Array {
  for (let i = 0; i < samples.length; i++) out[i] = samples[i]! / FULL_SCALE;
  return out;
}

/** Samples as little-endian octets: a view of the same memory wherever the machine is little-endian. */
export function int16ToOctets(samples: Int16Array): Uint8Array {
  if (LITTLE_ENDIAN_HOST) return new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  const out = new Uint8Array(samples.length * OCTETS_PER_SAMPLE);
  const view = new DataView(out.buffer);
  for (let i = 0; i < samples.length; i++) view.setInt16(i * OCTETS_PER_SAMPLE, samples[i]!, true);
  return out;
}

/** Little-endian octets as samples; a view where alignment allows. An odd last octet is left out: see `PcmAligner`. */
export function octetsToInt16(octets: Uint8Array): Int16Array {
  const length = Math.floor(octets.length / OCTETS_PER_SAMPLE);
  if (LITTLE_ENDIAN_HOST && octets.byteOffset % OCTETS_PER_SAMPLE === 0) {
    return new Int16Array(octets.buffer, octets.byteOffset, length);
  }
  const out = new Int16Array(length);
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  for (let i = 0; i < length; i++) out[i] = view.getInt16(i * OCTETS_PER_SAMPLE, true);
  return out;
}

/** Keeps samples whole when chunks of a stream end in the middle of one: the odd octet waits for its partner. */
export class PcmAligner {
  #carry: number | undefined;

  /** Octets that wait: 1 when the stream so far ends in half a sample. */
  get pendingOctets(): 0 | 1 {
    return this.#carry === undefined ? 0 : 1;
  }

  /** The whole samples that are there now, as octets: a view of `chunk` when nothing waits. */
  push(chunk: Uint8Array): Uint8Array {
    if (chunk.length === 0) return chunk;
    let whole = chunk;
    if (this.#carry !== undefined) {
      whole = new Uint8Array(chunk.length + 1);
      whole[0] = this.#carry;
      whole.set(chunk, 1);
      this.#carry = undefined;
    }
    if (whole.length % OCTETS_PER_SAMPLE === 0) return whole;
    this.#carry = whole[whole.length - 1];
    return whole.subarray(0, whole.length - 1);
  }
}
