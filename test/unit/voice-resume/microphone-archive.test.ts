import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MicrophoneArchive } from '../../../proto/voice/resume/microphone-archive.ts';

/** Samples that are their own number, so that a test sees which one it holds. */
function audio(first: number, samples: number): Uint8Array {
  return new Uint8Array(Int16Array.from({ length: samples }, (_, i) => (first + i) % 32_768).buffer);
}

/** Everything that an archive sends from `sample` on, as numbers, stretch by stretch. */
function sent(archive: MicrophoneArchive, sample: number, maxOctets = 64): number[][] {
  return archive.stretchesFrom(sample).map(({ number, firstSample }) => {
    const numbers: number[] = [];
    for (let at = firstSample; ; ) {
      const { octets } = archive.read(number, at, maxOctets);
      if (octets.length === 0) return numbers;
      const samples = new Int16Array(octets.slice().buffer);
      numbers.push(...samples);
      at += samples.length;
    }
  });
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('MicrophoneArchive', () => {
  it('gives a stretch again from any sample, and the stretches after it', () => {
    const archive = new MicrophoneArchive();
    archive.begin(0, 0);
    archive.push(audio(0, 100));
    archive.push(audio(100, 50));
    archive.end();
    archive.begin(9, 2);
    archive.push(audio(150, 30));
    expect(sent(archive, 0)).toEqual([range(0, 150), range(150, 180)]);
    expect(sent(archive, 120)).toEqual([range(120, 150), range(150, 180)]);
    expect(archive.stretchesFrom(160)).toEqual([
      { number: 1, firstSample: 160, startMs: 9, orderedEvents: 2 },
    ]);
    expect(archive.read(1, 180, 10)).toEqual({ octets: new Uint8Array(0), ended: false });
  });

  it('lets go of what is released, in the middle of a chunk too', () => {
    const archive = new MicrophoneArchive();
    archive.begin(0, 0);
    archive.push(audio(0, 100));
    archive.push(audio(100, 100));
    archive.release(130);
    expect(archive.firstSample).toBe(130);
    expect(sent(archive, 0)).toEqual([range(130, 200)]);
    archive.release(10_000);
    expect([archive.firstSample, archive.forgottenSamples]).toEqual([200, 0]);
    archive.push(audio(200, 10));
    expect(sent(archive, 0)).toEqual([range(200, 210)]);
  });

  it('keeps no more than its bound, and says how much fell out unreleased', () => {
    const archive = new MicrophoneArchive(1000);
    for (let at = 0; at < 5000; at += 100) {
      if (at % 500 === 0) archive.begin(at, 0);
      archive.push(audio(at, 100));
    }
    expect([archive.samples, archive.firstSample, archive.forgottenSamples]).toEqual([5000, 4000, 4000]);
    expect(sent(archive, 0).flat()).toEqual(range(4000, 5000));
  });

  it('keeps no more than so many stretches', () => {
    const archive = new MicrophoneArchive();
    for (let i = 0; i < 3000; i++) {
      archive.begin(i, 0);
      archive.push(audio(i, 1));
      archive.end();
    }
    expect(archive.stretchesFrom(0).length).toBeLessThanOrEqual(1024);
    expect(archive.firstSample).toBe(3000 - 1024);
    for (let i = 0; i < 3000; i++) archive.begin(i, 0);
    expect(archive.stretchesFrom(0).length).toBeLessThanOrEqual(1024);
  });

  it('holds every sample once and in order, whatever is pushed, ended and released', () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ release: fc.nat(60) }),
      fc.constant('mute'),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(500), (steps, from) => {
        const archive = new MicrophoneArchive();
        archive.begin(0, 0);
        let samples = 0;
        let released = 0;
        for (const action of steps) {
          if (action === 'mute') archive.begin(0, 0);
          else if (typeof action === 'object' && 'push' in action) {
            archive.push(audio(samples, action.push));
            samples += action.push;
          } else if (typeof action === 'object') {
            released = Math.min(samples, released + action.release);
            archive.release(released);
          }
        }
        expect(sent(archive, from, 14).flat()).toEqual(
          range(Math.max(released, Math.min(from, samples)), samples),
        );
      }),
    );
  });
});
