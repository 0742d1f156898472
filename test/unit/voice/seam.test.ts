import { beforeAll, describe, expect, test } from 'vitest';
import { int16ToOctets, octetsToInt16, Seam } from '../../../proto/voice/index.ts';
import { createOpusDecoder, createOpusEncoder } from '../../../server/bridge/opus.ts';
import { Comparison } from '../../support/spoken-words.ts';

const LOOK_AHEAD = 60;
/** As loud as a voice gets, with what hisses in it as loud as in speech. */
const said = Int16Array.from({ length: 48_000 }, (_, i) => {
  const t = i / 24_000;
  const voice = [1, 2, 3, 5, 8].reduce(
    (sum, n) => sum + Math.sin(2 * Math.PI * n * (140 * t + 6 * Math.sin(3 * t))) / n,
    0,
  );
  const hiss = (((i * 48_271) % 65_521) / 65_521 - 0.5) * (Math.sin(5 * t) > 0.6 ? 0.05 : 0.005);
  return 12_000 * (0.6 + 0.4 * Math.sin(9 * t)) * (0.5 * voice + hiss);
});
let coded: Int16Array;

beforeAll(async () => {
  const encoder = await createOpusEncoder();
  const decoder = await createOpusDecoder();
  const out: number[] = [];
  for (let at = 0; at < said.length; at += 480)
    out.push(...decoder.decode(encoder.encode(said.subarray(at, at + 480)))!);
  coded = Int16Array.from(out.slice(LOOK_AHEAD));
});

const octets = (samples: Int16Array) => int16ToOctets(samples.slice());

/** PCM to the sample `at`, then Opus that begins so much before it, in chunks. */
function joined(at: number, before: number, chunk = 480): Int16Array {
  const seam = new Seam();
  const out: number[] = [];
  for (let i = at - 1920; i < at; i += 480)
    out.push(...octetsToInt16(seam.join(octets(said.subarray(i, i + 480)))));
  for (let i = at - before; i < at; i += chunk)
    seam.follows(octets(coded.subarray(i, Math.min(at, i + chunk))));
  for (let i = at; i < at + 960; i += chunk)
    out.push(...octetsToInt16(seam.join(octets(coded.subarray(i, Math.min(at + 960, i + chunk))))));
  return Int16Array.from(out);
}

/** How far the error jumps at the seam, in dB of full scale. */
function clickDb(at: number, heard: Int16Array): number {
  const error = (i: number) => heard[1920 + i]! - said[at + i]!;
  return 20 * Math.log10(Math.abs(error(0) - error(-1)) / 32_768 + 1e-9);
}

describe('a seam between two codings', () => {
  test('no click above -40 dB wherever it falls, and what fades is gone after 10 ms', () => {
    let loudest = Number.NEGATIVE_INFINITY;
    for (let at = 4000; at < 44_000; at += 13) {
      const heard = joined(at, 240);
      loudest = Math.max(loudest, clickDb(at, heard));
      for (let i = 240; i < 260; i++) expect(heard[1920 + i]).toBe(coded[at + i]);
    }
    expect(loudest).toBeLessThan(-40);
  });

  test('what fades never stands out of what Opus differs by anyway', () => {
    for (let at = 4000; at < 44_000; at += 101) {
      const heard = joined(at, 240);
      const most = (error: (i: number) => number, from: number, to: number) => {
        let found = 0;
        for (let i = from; i < to; i++) found = Math.max(found, Math.abs(error(i)));
        return found;
      };
      const behind = most((i) => heard[1920 + i]! - coded[at + i]!, 0, 240);
      expect(behind).toBeLessThanOrEqual(2 * most((i) => said[at + i]! - coded[at + i]!, -240, 0) + 2);
    }
  });

  test('the same however it is cut, and by the last difference where only one is known', () => {
    for (const chunk of [1, 7, 100, 241]) expect(joined(9001, 240, chunk)).toEqual(joined(9001, 240));
    const heard = joined(9001, 1);
    expect(heard[1920]! - coded[9001]!).toBe(said[9000]! - coded[9000]!);
  });

  test('nothing is changed where both are the same, or where nothing went before', () => {
    const seam = new Seam();
    seam.follows(octets(coded.subarray(0, 240)));
    const first = octets(coded.subarray(240, 720));
    expect(seam.join(first)).toBe(first);
    seam.follows(first);
    const second = octets(said.subarray(720, 1200));
    expect(seam.join(second)).toBe(second);
    expect(seam.join(new Uint8Array(0)).length).toBe(0);
    seam.follows(octets(coded.subarray(720, 1200)));
    seam.clear();
    const third = octets(coded.subarray(1200, 1680));
    expect(seam.join(third)).toBe(third);
  });

  test('the measure of the long tests: a jump is a click, the noise of a loud hiss is none', () => {
    const seam = 24_000;
    const jump = said.map((sample, i) => (i < seam ? sample : sample + 400));
    expect(new Comparison(said, jump, []).clicksAt(seam)).toBe(true);
    const noise = said.map((sample, i) => (i < seam ? sample : sample + (i % 2 ? 300 : -300)));
    expect(new Comparison(said, noise, []).clickDb(seam)).toBeGreaterThan(-42);
    expect(new Comparison(said, noise, []).clicksAt(seam)).toBe(false);
  });
});
