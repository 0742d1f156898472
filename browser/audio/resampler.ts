/** Zero crossings of the sinc on either side of its centre: 16 keep the pass band flat to 0.45 of the lower rate. */
const ZERO_CROSSINGS = 16;
/** Most phases that are tabled; rates with more (none in use) take the nearest one below. */
const MAX_PHASES = 1024;
/** Shape of the Kaiser window: about 80 dB of stop-band rejection. */
const KAISER_BETA = 8;

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function besselI0(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; k < 40; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/**
 * A band-limited sample-rate converter for a stream (polyphase windowed sinc). It serves browsers that do not give an
 * `AudioContext` of 24 kHz: Firefox refuses to join a microphone to a context of another rate, and some Safari versions
 * ignore the wished rate. Input may come in blocks of any length; output is the same whatever the blocks were.
 * Its delay is `delaySamples` of input.
 */
export class Resampler {
  readonly #inRate: number;
  readonly #outRate: number;
  readonly #half: number;
  readonly #taps: number;
  readonly #phases: number;
  readonly #kernel: Float32Array;
  #history: Float32Array;
  #length: number;
  /** Index in `#history` of the first input under the kernel. */
  #at = 0;
  /** Fraction of an input sample past `#at`'s centre, in units of 1 / outRate. */
  #fraction = 0;

  /** Rates in samples per second, whole and above zero. */
  constructor(inRate: number, outRate: number) {
    if (!Number.isInteger(inRate) || !Number.isInteger(outRate) || inRate <= 0 || outRate <= 0) {
      throw new RangeError(
        `cannot convert ${inRate} to ${outRate} samples per second: give whole rates above zero`,
      );
    }
    this.#inRate = inRate;
    this.#outRate = outRate;
    const cutoff = Math.min(1, outRate / inRate);
    this.#half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.#taps = this.#half * 2;
    this.#phases = Math.min(MAX_PHASES, outRate / greatestCommonDivisor(inRate, outRate));
    this.#kernel = makeKernel(this.#phases, this.#half, cutoff);
    this.#history = new Float32Array(this.#taps + 4096);
    // Silence before the first sample, so that output 0 lies on input 0.
    this.#length = this.#half - 1;
  }

  /** Input samples that must follow an input before it is wholly heard in the output. */
  get delaySamples(): number {
    return this.#half;
  }

  /** Input samples still needed before `outputs` samples can be pulled. */
  inputNeeded(outputs: number): number {
    if (outputs <= 0) return 0;
    const steps = Math.floor((this.#fraction + (outputs - 1) * this.#inRate) / this.#outRate);
    return Math.max(0, this.#at + steps + this.#taps - this.#length);
  }

  /** Gives the first `count` samples of `input`. */
  push(input: Float32Array, count: number = input.length): void {
    if (this.#length + count > this.#history.length) this.#makeRoom(count);
    this.#history.set(count === input.length ? input : input.subarray(0, count), this.#length);
    this.#length += count;
  }

  /** Takes up to `max` samples into `output`; returns how many there were. */
  pull(output: Float32Array, max: number = output.length): number {
    let written = 0;
    while (written < max && this.#at + this.#taps <= this.#length) {
      output[written++] = this.#convolve();
      this.#fraction += this.#inRate;
      const whole = Math.floor(this.#fraction / this.#outRate);
      this.#fraction -= whole * this.#outRate;
      this.#at += whole;
    }
    return written;
  }

  #convolve(): number {
    const phase = Math.floor((this.#fraction * this.#phases) / this.#outRate);
    const kernel = this.#kernel;
    const history = this.#history;
    const base = phase * this.#taps;
    let sum = 0;
    for (let k = 0; k < this.#taps; k++) sum += (kernel[base + k] ?? 0) * (history[this.#at + k] ?? 0);
    return sum;
  }

  #makeRoom(count: number): void {
    const kept = this.#history.subarray(Math.min(this.#at, this.#length), this.#length);
    const needed = kept.length + count;
    const next = needed > this.#history.length ? new Float32Array(needed * 2) : this.#history;
    next.set(kept);
    // Converting down can leave the next window beyond all input yet given.
    this.#at = Math.max(0, this.#at - this.#length);
    this.#history = next;
    this.#length = kept.length;
  }
}

function makeKernel(phases: number, half: number, cutoff: number): Float32Array {
  const taps = half * 2;
  const kernel = new Float32Array(phases * taps);
  const i0Beta = besselI0(KAISER_BETA);
  for (let phase = 0; phase < phases; phase++) {
    const row = new Float64Array(taps);
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const x = k - (half - 1) - phase / phases;
      const edge = 1 - (x / half) ** 2;
      const window = edge <= 0 ? 0 : besselI0(KAISER_BETA * Math.sqrt(edge)) / i0Beta;
      const value = sinc(x * cutoff) * window;
      row[k] = value;
      sum += value;
    }
    // Each phase passes a constant unchanged, or the phases would be heard as a tone.
    for (let k = 0; k < taps; k++) kernel[phase * taps + k] = (row[k] ?? 0) / sum;
  }
  return kernel;
}
