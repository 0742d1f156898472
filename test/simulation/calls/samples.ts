/**
 * Audio whose every sample says where it belongs, so that one that is lost, doubled or another's is seen. Two samples hold a count: the
 * even one its lower 16 bits, the odd one its upper 6, whose audio it is, and whether someone speaks.
 */

/** Whose audio it may be: 0 to this. */
export const MAX_TAG = 511;
const SPEECH = 0x8000;

export function sampleAt(index: number, tag: number, speech: boolean): number {
  const pair = index >> 1;
  if ((index & 1) === 0) return pair & 0xffff;
  return ((pair >>> 16) & 0x3f) | (tag << 6) | (speech ? SPEECH : 0);
}

/** `count` samples from `index` on. */
export function samplesFrom(index: number, count: number, tag: number, speech = true): Int16Array {
  const samples = new Int16Array(count);
  for (let i = 0; i < count; i++) samples[i] = sampleAt(index + i, tag, speech);
  return samples;
}

/** As unsigned values, from octets of PCM16 at any offset. */
export function valuesOf(octets: Uint8Array): Uint16Array {
  if (octets.byteOffset % 2 === 0)
    return new Uint16Array(octets.buffer, octets.byteOffset, octets.length >> 1);
  const values = new Uint16Array(octets.length >> 1);
  for (let i = 0; i < values.length; i++) values[i] = octets[2 * i]! | (octets[2 * i + 1]! << 8);
  return values;
}

/** Samples that `locate` needs. */
export const LOCATABLE = 6;

/** Where in its stream a run of samples begins; undefined when it is none of this tag's. */
export function locate(values: Uint16Array, tag: number): number | undefined {
  for (const odd of [0, 1]) {
    const low = values[odd]!;
    const high = values[odd + 1]!;
    const index = 2 * (low | ((high & 0x3f) << 16)) - odd;
    if (index >= 0 && firstMismatch(values, index, tag) === undefined) return index;
  }
  return undefined;
}

/** Offset of the first sample that is not the one expected; undefined when all are. Speech or silence is not looked at. */
export function firstMismatch(values: Uint16Array, index: number, tag: number): number | undefined {
  for (let i = 0; i < values.length; i++) {
    const at = index + i;
    const value = (at & 1) === 0 ? values[i]! : values[i]! & ~SPEECH;
    if (value !== sampleAt(at, tag, false)) return i;
  }
  return undefined;
}

/** Whether an odd sample is one of speech. */
export function isSpeech(value: number): boolean {
  return (value & SPEECH) !== 0;
}
