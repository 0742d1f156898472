import { describe, expect, it } from 'vitest';
import { alignWords } from '../../support/aligned-words.ts';
import type { SamplesBy, WordsRecord } from '../../support/spoken-words.ts';

const WINDOW = 480;
const SECONDS = 4;

/** A voice of breath and one note that wanders, never quiet, the same for each seed. */
function voice(seed: number): Int16Array {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const samples = new Int16Array(SECONDS * 24_000);
  let [phase, pitch, breath] = [0, 120, 0];
  for (let i = 0; i < samples.length; i++) {
    if (i % 960 === 0) pitch = 90 + 90 * random();
    phase += (2 * Math.PI * pitch) / 24_000;
    breath = 0.7 * breath + 6000 * (random() - 0.5);
    samples[i] = 2000 * Math.sin(phase) + breath;
  }
  return samples;
}

/** Each 20 ms as it was said, or came, at these moments. */
const steps = (count: number, at: (index: number) => number): SamplesBy[] =>
  Array.from({ length: count }, (_, i) => ({ samples: (i + 1) * WINDOW, at: at(i) }));

function recordOf(said: Int16Array, heard: Int16Array, lateMs = 30): WordsRecord {
  return {
    said,
    taken: steps(said.length / WINDOW, (i) => 1000 + 20 * i),
    heard,
    arrivals: steps(Math.floor(heard.length / WINDOW), (i) => 1000 + lateMs + 20 * i),
  };
}

const join = (...parts: readonly Int16Array[]) => Int16Array.from(parts.flatMap((part) => [...part]));
const missing = (record: WordsRecord) =>
  alignWords(record)
    .filter(({ heardAt }) => heardAt === undefined)
    .map(({ at }) => at / WINDOW);

describe('words are found again in what was heard', () => {
  const said = voice(1);

  it('as they are: every window, each as late as it came', () => {
    const windows = alignWords(recordOf(said, said));
    expect(windows).toHaveLength(SECONDS * 50);
    expect(windows.map(({ saidAt, heardAt }) => heardAt! - saidAt)).toEqual(windows.map(() => 30));
  });

  it('not where something else stands in their place', () => {
    const other = voice(2);
    const heard = said.slice();
    heard.set(other.subarray(100 * WINDOW, 140 * WINDOW), 100 * WINDOW);
    const gone = missing(recordOf(said, heard));
    // A window is compared together with half of each neighbour.
    expect(gone.length).toBeGreaterThanOrEqual(36);
    expect(gone.length).toBeLessThanOrEqual(42);
    expect(gone.every((window) => window >= 99 && window <= 140)).toBe(true);
  });

  it('behind a cut of 0.4 s, which is what is missing', () => {
    const heard = join(said.subarray(0, 100 * WINDOW), said.subarray(120 * WINDOW));
    const arrivals = steps(heard.length / WINDOW, (i) => 1030 + 20 * (i < 100 ? i : i + 20));
    const gone = missing({ ...recordOf(said, heard), arrivals });
    expect(gone.length).toBeGreaterThanOrEqual(20);
    // The place is looked for each five windows.
    expect(gone.length).toBeLessThanOrEqual(27);
    expect(gone.every((window) => window >= 99 && window < 126)).toBe(true);
  });

  it('behind a second of silence that was put in, as late as that makes them', () => {
    const heard = join(
      said.subarray(0, 100 * WINDOW),
      new Int16Array(50 * WINDOW),
      said.subarray(100 * WINDOW),
    );
    const windows = alignWords(recordOf(said, heard));
    const found = windows.filter(({ heardAt }) => heardAt !== undefined);
    expect(found.length).toBeGreaterThanOrEqual(SECONDS * 50 - 7);
    const last = windows.at(-1)!;
    expect(last.heardAt! - last.saidAt).toBeCloseTo(1030, 5);
  });

  it('where a jitter buffer stretches: 5 ms more each 200 ms', () => {
    const parts: Int16Array[] = [];
    for (let at = 0; at < said.length; at += 4800)
      parts.push(said.subarray(at, at + 4800), said.subarray(at + 4680, at + 4800));
    const windows = alignWords(recordOf(said, join(...parts)));
    const found = windows.filter(({ heardAt }) => heardAt !== undefined);
    expect(found.length / windows.length).toBeGreaterThan(0.9);
    const { saidAt, heardAt } = found.at(-1)!;
    expect(heardAt! - saidAt).toBeGreaterThan(120);
  });

  it('not at all in another voice', () => {
    const windows = alignWords(recordOf(said, voice(3)));
    expect(windows.filter(({ heardAt }) => heardAt !== undefined).length / windows.length).toBeLessThan(0.05);
  });

  it('nor is silence looked for', () => {
    expect(alignWords(recordOf(new Int16Array(24_000), said))).toEqual([]);
  });
});
