import { describe, expect, test } from 'vitest';
import { AppendRuns } from '../../../proto/voice/append-runs.ts';

/** 40 and 100 ms of PCM16 at 24 kHz. */
const [LEAST, MOST] = [1920, 4800];
const said = Uint8Array.from({ length: 60_000 }, (_, i) => (i * 31) % 251);

/** What comes out of chunks of these sizes, again and again, and of a flush at the end. */
function runsOf(sizes: readonly number[]): Uint8Array[] {
  const runs = new AppendRuns();
  const out: Uint8Array[] = [];
  const add = (pcm: Uint8Array) => out.push(pcm);
  for (let at = 0, i = 0; at < said.length; i++) {
    const size = sizes[i % sizes.length]!;
    runs.push(said.subarray(at, at + size), add);
    at += size;
  }
  runs.flush(add);
  return out;
}

describe('runs of audio for the upstream', () => {
  test.each([
    [[960]],
    [[2]],
    [[1918, 960]],
    [[1920]],
    [[4800]],
    [[4802]],
    [[20_000]],
    [[2, 4798, 960, 12_002]],
  ])('chunks of %j octets: all of them, in order, 40 to 100 ms each but the last', (sizes) => {
    const runs = runsOf(sizes);
    expect(Buffer.concat(runs).equals(said)).toBe(true);
    for (const { length } of runs.slice(0, -1)) {
      expect(length).toBeGreaterThanOrEqual(LEAST);
      expect(length).toBeLessThanOrEqual(MOST);
    }
    expect(runs.at(-1)!.length).toBeLessThanOrEqual(MOST);
  });

  test('what is said after a run is not written over it', () => {
    const runs = new AppendRuns();
    const out: Uint8Array[] = [];
    const add = (pcm: Uint8Array) => out.push(pcm);
    for (let value = 1; value <= 4; value++) runs.push(new Uint8Array(960).fill(value), add);
    expect(out.map((run) => [run.length, run[0], run[959], run[960], run[1919]])).toEqual([
      [1920, 1, 1, 2, 2],
      [1920, 3, 3, 4, 4],
    ]);
  });

  test('what was cleared does not come', () => {
    const runs = new AppendRuns();
    const out: Uint8Array[] = [];
    const add = (pcm: Uint8Array) => out.push(pcm);
    runs.push(new Uint8Array(960).fill(1), add);
    runs.clear();
    runs.push(new Uint8Array(1920).fill(2), add);
    runs.flush(add);
    expect(out).toEqual([new Uint8Array(1920).fill(2)]);
  });
});
