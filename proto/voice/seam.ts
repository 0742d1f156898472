import { int16ToOctets, OCTETS_PER_SAMPLE, octetsToInt16 } from './pcm.ts';

/** Samples over which a difference at a seam fades: 10 ms. */
const FADE_SAMPLES = 240;
/** Samples before a seam whose differences tell how they go on behind it: 7.5 ms. */
const HISTORY_SAMPLES = 180;
/** Coefficients of that prediction: at 16 what is left of a difference of Opus at 32 kbit/s is below -50 dB. */
const ORDER = 16;
/** Fewer differences than for each coefficient so many tell no more than the last of them. */
const SAMPLES_PER_COEFFICIENT = 4;

/**
 * Joins audio of one coding to audio of another. Two codings of the same sample differ by some noise, and a difference that begins at once
 * is heard as a click. So a stream that follows one of another coding brings the samples before its first once more: how the two
 * differ there is gone on with behind the seam by linear prediction, added to what follows, and fades.
 */
export class Seam {
  /** What was handed on last, and what stands for the same samples in what follows. */
  readonly #past = new Tail();
  readonly #again = new Tail();
  #differences: Float64Array | undefined;
  #left = 0;

  /** What comes next stands behind these samples, which were handed on in another coding. Adds to those given just before. */
  follows(octets: Uint8Array): void {
    this.#again.push(octets);
  }

  /** Whole samples, joined to those before: the same octets where nothing fades. */
  join(octets: Uint8Array): Uint8Array {
    if (octets.length === 0) return octets;
    if (this.#again.length > 0) this.#begin();
    const out = this.#left === 0 ? octets : this.#fade(octets);
    this.#past.push(out);
    return out;
  }

  /** What comes next follows nothing. */
  clear(): void {
    this.#past.clear();
    this.#again.clear();
    this.#left = 0;
  }

  #begin(): void {
    const length = Math.min(this.#past.length, this.#again.length);
    const differences = new Float64Array(length + FADE_SAMPLES);
    let differs = false;
    for (let i = 1; i <= length; i++) {
      const difference = this.#past.at(-i) - this.#again.at(-i);
      differences[length - i] = difference;
      differs ||= difference !== 0;
    }
    this.#again.clear();
    this.#left = differs ? FADE_SAMPLES : 0;
    if (!differs) return;
    const order = Math.min(ORDER, Math.floor(length / SAMPLES_PER_COEFFICIENT));
    predict(differences, length, order);
    this.#differences = differences.subarray(length);
  }

  #fade(octets: Uint8Array): Uint8Array {
    const out = octetsToInt16(octets).slice();
    for (let i = 0; i < out.length && this.#left > 0; i++, this.#left--) {
      const difference = this.#differences![FADE_SAMPLES - this.#left]!;
      const value = out[i]! + Math.round((difference * this.#left) / FADE_SAMPLES);
      out[i] = Math.max(-32_768, Math.min(32_767, value));
    }
    return int16ToOctets(out);
  }
}

/** The last samples of what was pushed; without any it has no memory for them. */
class Tail {
  #samples: Int16Array | undefined;
  #octets: Uint8Array | undefined;
  length = 0;

  /** Whole samples. */
  push(octets: Uint8Array): void {
    this.#samples ??= new Int16Array(HISTORY_SAMPLES);
    this.#octets ??= int16ToOctets(this.#samples);
    const own = this.#octets;
    const from = Math.max(0, octets.length - own.length);
    const length = octets.length - from;
    if (length < own.length) own.copyWithin(0, length);
    own.set(from === 0 ? octets : octets.subarray(from), own.length - length);
    this.length = Math.min(HISTORY_SAMPLES, this.length + length / OCTETS_PER_SAMPLE);
  }

  /** From the end: -1 is the last one. */
  at(index: number): number {
    return this.#samples?.at(index) ?? 0;
  }

  clear(): void {
    this.#samples = undefined;
    this.#octets = undefined;
    this.length = 0;
  }
}

/**
 * Goes on with the first `length` values to the end of the array, by linear prediction with coefficients after Burg, which never grow
 * beyond what they were given; with order 0 by the last value.
 */
function predict(values: Float64Array, length: number, order: number): void {
  const coefficients = burg(values.subarray(0, length), order);
  for (let i = length; i < values.length; i++) {
    let value = order === 0 ? values[length - 1]! : 0;
    for (let k = 1; k <= order; k++) value -= coefficients[k]! * values[i - k]!;
    values[i] = value;
  }
}

/** Coefficients of the filter that predicts each value best from those before and, the other way round, from those behind. */
function burg(values: Float64Array, order: number): Float64Array {
  const forward = values.slice();
  const backward = values.slice();
  const coefficients = new Float64Array(order + 1);
  coefficients[0] = 1;
  for (let m = 0; m < order; m++) {
    let [product, power] = [0, 0];
    for (let i = m + 1; i < values.length; i++) {
      product += forward[i]! * backward[i - 1]!;
      power += forward[i]! ** 2 + backward[i - 1]! ** 2;
    }
    const reflection = power > 0 ? (-2 * product) / power : 0;
    const before = coefficients.slice();
    for (let i = 1; i <= m + 1; i++) coefficients[i] = before[i]! + reflection * before[m + 1 - i]!;
    for (let i = values.length - 1; i > m; i--) {
      const [ahead, behind] = [forward[i]!, backward[i - 1]!];
      forward[i] = ahead + reflection * behind;
      backward[i] = behind + reflection * ahead;
    }
  }
  return coefficients;
}
