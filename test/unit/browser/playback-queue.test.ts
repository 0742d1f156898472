import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { octetsOf } from '../../../browser/audio/pcm.ts';
import { PlaybackQueue } from '../../../browser/audio/playback-queue.ts';
import { MAX_START_SAMPLES, START_SAMPLES, StartGate } from '../../../browser/audio/start-gate.ts';
import { AudioHash } from '../../../proto/voice/audio-hash.ts';

const BLOCK = 128;
const ramp = (length: number, from = 0) => Int16Array.from({ length }, (_, i) => (from + i) % 30_000);
const hashOf = (samples: Int16Array<ArrayBuffer>) => new AudioHash().update(octetsOf(samples)).digest();

/** Pulls blocks until a whole block is silent; gives all samples that were put out. */
function drain(queue: PlaybackQueue, mostBlocks = 10_000): Int16Array<ArrayBuffer> {
  const out = new Int16Array(BLOCK);
  const heard: number[] = [];
  for (let i = 0; i < mostBlocks; i++) {
    const count = queue.pull(out, BLOCK);
    if (count === 0) break;
    heard.push(...out.subarray(0, count));
  }
  return Int16Array.from(heard);
}

describe('the playback queue', () => {
  it('puts out an answer without gaps, counts it and hashes it, whatever pieces it came in', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 30 }), (pieces) => {
        const queue = new PlaybackQueue();
        queue.begin(7);
        let total = 0;
        for (const length of pieces) {
          queue.push(7, ramp(length, total));
          total += length;
        }
        queue.end(7);
        expect(queue.bufferedSamples).toBe(total);
        // By length and hash: comparing 90 000 samples one by one takes most of the time of a run.
        const heard = drain(queue);
        const playedHash = hashOf(ramp(total));
        expect({ samples: heard.length, hash: hashOf(heard) }).toEqual({ samples: total, hash: playedHash });
        expect(queue.takeFinished()).toEqual([
          {
            key: 7,
            playedSamples: total,
            playedHash,
            droppedSamples: 0,
            finished: true,
          },
        ]);
        expect(queue.bufferedSamples).toBe(0);
        expect(queue.underruns).toBe(0);
      }),
    );
  });

  it('lets the next answer follow in the same block', () => {
    const queue = new PlaybackQueue();
    for (const key of [1, 2]) {
      queue.begin(key);
      queue.push(key, ramp(100, key * 1000));
      queue.end(key);
    }
    expect(drain(queue)).toEqual(Int16Array.from([...ramp(100, 1000), ...ramp(100, 2000)]));
    expect(queue.takeFinished().map(({ key, playedSamples }) => [key, playedSamples])).toEqual([
      [1, 100],
      [2, 100],
    ]);
  });

  it('stops at once when cleared and says exactly what was heard', () => {
    const queue = new PlaybackQueue();
    queue.begin(1);
    queue.push(1, ramp(5000));
    const out = new Int16Array(BLOCK);
    for (let i = 0; i < 3; i++) queue.pull(out, BLOCK);
    expect(queue.clear()).toEqual([
      { key: 1, playedSamples: 384, playedHash: hashOf(ramp(384)), droppedSamples: 4616, finished: false },
    ]);
    expect(queue.pull(out, BLOCK)).toBe(0);
    expect(queue.bufferedSamples).toBe(0);
    expect(queue.push(1, ramp(100))).toBe(false);
  });

  it('clears one answer and leaves the others', () => {
    const queue = new PlaybackQueue();
    for (const key of [1, 2, 3]) {
      queue.begin(key);
      queue.push(key, ramp(200, key * 1000));
      queue.end(key);
    }
    expect(queue.clear(2).map(({ key, playedSamples }) => [key, playedSamples])).toEqual([[2, 0]]);
    expect(drain(queue)).toEqual(Int16Array.from([...ramp(200, 1000), ...ramp(200, 3000)]));
  });

  it('counts an underrun only when the answer goes on later, not when its end is merely late', () => {
    const queue = new PlaybackQueue();
    queue.begin(1);
    queue.push(1, ramp(2000));
    drain(queue);
    queue.end(1);
    expect(queue.underruns).toBe(0);
    expect(queue.takeFinished()).toHaveLength(1);

    queue.begin(2);
    queue.push(2, ramp(2000));
    drain(queue);
    queue.push(2, ramp(5000, 2000));
    expect(queue.underruns).toBe(1);
    queue.end(2);
    expect(drain(queue)).toEqual(ramp(5000, 2000));
    expect(queue.takeFinished()[0]?.playedHash).toBe(hashOf(ramp(7000)));
  });

  it('keeps an answer of many chunks in order while it lets go of those it played', () => {
    const queue = new PlaybackQueue();
    const hash = new AudioHash();
    queue.begin(1);
    for (let second = 0; second < 150; second++) {
      const piece = ramp(24_000, second * 7);
      hash.update(octetsOf(piece));
      queue.push(1, piece);
    }
    queue.end(1);
    const out = new Int16Array(24_000);
    while (queue.pull(out, out.length) > 0);
    expect(queue.takeFinished()[0]).toMatchObject({ playedSamples: 150 * 24_000, playedHash: hash.digest() });
  });

  it('finishes an answer without audio', () => {
    const queue = new PlaybackQueue();
    queue.begin(1);
    queue.end(1);
    expect(queue.takeFinished()).toMatchObject([{ playedSamples: 0, finished: true }]);
  });
});

describe('the start gate', () => {
  it('opens at once when an answer comes faster than real time, or is whole', () => {
    expect(new StartGate().passes(START_SAMPLES, false, BLOCK)).toBe(true);
    expect(new StartGate().passes(1, true, BLOCK)).toBe(true);
    expect(new StartGate().passes(START_SAMPLES - 1, false, BLOCK)).toBe(false);
  });

  it('waits for more after each time it ran dry, within its bound, and for less when all is well again', () => {
    const gate = new StartGate();
    gate.ranDry();
    expect(gate.targetSamples).toBe(START_SAMPLES * 2);
    for (let i = 0; i < 10; i++) gate.ranDry();
    expect(gate.targetSamples).toBe(MAX_START_SAMPLES);
    for (let i = 0; i < 10; i++) gate.playedThrough();
    expect(gate.targetSamples).toBe(START_SAMPLES);
  });

  it('never waits longer than twice its target', () => {
    const gate = new StartGate();
    let waited = 0;
    while (!gate.passes(1, false, BLOCK)) waited += BLOCK;
    expect(waited).toBeLessThanOrEqual(START_SAMPLES * 2);
  });
});
