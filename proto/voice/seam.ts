import { int16ToOctets, octetsToInt16 } from './pcm.ts';

/** Samples over which a difference at a seam fades: 10 ms. */
const FADE_SAMPLES = 240;

/**
 * Joins audio of one coding to audio of another. Two codings of the same sample differ by some noise, and a difference that begins at once
 * is heard as a click. So a stream that follows one of another coding brings the sample before its first once more: how the two
 * differ there is added to what follows, and fades.
 */
export class Seam {
  #last: number | undefined;
  #difference = 0;
  #left = 0;

  /** What comes next stands behind these samples, the last of which was handed on in another coding. */
  follows(octets: Uint8Array): void {
    const before = octetsToInt16(octets.subarray(octets.length - 2))[0];
    if (this.#last === undefined || before === undefined) return;
    this.#difference = this.#last - before;
    this.#left = this.#difference === 0 ? 0 : FADE_SAMPLES;
  }

  /** Whole samples, joined to those before: the same octets where nothing fades. */
  join(octets: Uint8Array): Uint8Array {
    if (octets.length === 0) return octets;
    if (this.#left === 0) {
      this.#last = ((octets.at(-1)! << 24) | (octets.at(-2)! << 16)) >> 16;
      return octets;
    }
    const out = octetsToInt16(octets).slice();
    for (let i = 0; i < out.length && this.#left > 0; i++, this.#left--) {
      const value = out[i]! + Math.round((this.#difference * this.#left) / FADE_SAMPLES);
      out[i] = Math.max(-32_768, Math.min(32_767, value));
    }
    this.#last = out.at(-1);
    return int16ToOctets(out);
  }

  /** What comes next follows nothing. */
  clear(): void {
    this.#last = undefined;
    this.#left = 0;
  }
}
