import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Resampler } from '../../../browser/audio/resampler.ts';

function sine(rate: number, frequency: number, samples: number): Float32Array {
  return Float32Array.from({ length: samples }, (_, i) => Math.sin((2 * Math.PI * frequency * i) / rate));
}

/** Converts all of `input`, given in blocks of the lengths in `blocks` (repeated). */
function convert(
  inRate: number,
  outRate: number,
  input: Float32Array,
  blocks: readonly number[],
): Float32Array {
  const resampler = new Resampler(inRate, outRate);
  const output = new Float32Array(Math.ceil((input.length * outRate) / inRate) + 1);
  let written = 0;
  for (let at = 0, i = 0; at < input.length; i++) {
    const length = blocks[i % blocks.length] ?? input.length;
    resampler.push(input.subarray(at, at + length));
    at += length;
    written += resampler.pull(output.subarray(written));
  }
  return output.subarray(0, written);
}

describe('the resampler', () => {
  it.each([
    [48_000, 24_000],
    [44_100, 24_000],
    [24_000, 44_100],
    [24_000, 48_000],
    [16_000, 24_000],
  ])('keeps a tone of 1 kHz in place and in size from %i to %i samples per second', (inRate, outRate) => {
    const output = convert(inRate, outRate, sine(inRate, 1000, inRate / 2), [128]);
    const wanted = sine(outRate, 1000, output.length);
    let worst = 0;
    for (let i = 400; i < output.length; i++) worst = Math.max(worst, Math.abs(output[i]! - wanted[i]!));
    expect(worst).toBeLessThan(0.001);
  });

  it('silences what lies above half of the lower rate, so that nothing folds back into speech', () => {
    const output = convert(48_000, 24_000, sine(48_000, 15_000, 24_000), [128]);
    expect(Math.max(...output.subarray(400).map(Math.abs))).toBeLessThan(0.001);
  });

  it('passes a constant unchanged', () => {
    const output = convert(44_100, 24_000, new Float32Array(8000).fill(0.5), [128]).subarray(200);
    for (const sample of output) expect(sample).toBeCloseTo(0.5, 5);
  });

  it('gives the same samples whatever blocks the input came in', () => {
    const input = sine(44_100, 700, 6000);
    const whole = convert(44_100, 24_000, input, [4000]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 999 }), { minLength: 1, maxLength: 8 }), (blocks) => {
        expect(convert(44_100, 24_000, input, blocks)).toEqual(whole);
      }),
      { numRuns: 25 },
    );
  });

  it('makes as many samples as the rates say, but for its own delay', () => {
    const output = convert(44_100, 24_000, new Float32Array(44_100), [128]);
    const delay = (new Resampler(44_100, 24_000).delaySamples * 24_000) / 44_100;
    expect(output.length).toBeGreaterThanOrEqual(24_000 - Math.ceil(delay) - 1);
    expect(output.length).toBeLessThanOrEqual(24_000);
  });

  it.each([
    [24_000, 44_100],
    [24_000, 48_000],
    [48_000, 24_000],
  ])('says exactly how much input a block of output needs (%i to %i)', (inRate, outRate) => {
    const resampler = new Resampler(inRate, outRate);
    const block = new Float32Array(128);
    for (let i = 0; i < 500; i++) {
      const needed = resampler.inputNeeded(128);
      if (needed > 0) {
        resampler.push(new Float32Array(needed - 1));
        expect(resampler.inputNeeded(128)).toBe(1);
        resampler.push(new Float32Array(1));
      }
      expect(resampler.pull(block)).toBe(128);
    }
  });

  it('refuses rates that are not whole numbers above zero', () => {
    expect(() => new Resampler(0, 24_000)).toThrow(RangeError);
    expect(() => new Resampler(44_100.5, 24_000)).toThrow(RangeError);
  });
});
