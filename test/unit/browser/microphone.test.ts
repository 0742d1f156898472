import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHUNK_SAMPLES,
  type MicrophoneChunk,
  MicrophonePacketizer,
} from '../../../browser/audio/microphone-packetizer.ts';
import { levelOf, toPcm16 } from '../../../browser/audio/pcm.ts';

function collect(): { chunks: MicrophoneChunk[]; packetizer: MicrophonePacketizer } {
  const chunks: MicrophoneChunk[] = [];
  return { chunks, packetizer: new MicrophonePacketizer((chunk) => chunks.push(chunk)) };
}

const ramp = (length: number, from: number) =>
  Float32Array.from({ length }, (_, i) => ((from + i) % 30_000) / 32_768);
const samplesOf = (chunks: readonly MicrophoneChunk[]) => chunks.flatMap((chunk) => [...chunk.samples]);

describe('the microphone packetizer', () => {
  it('lets every sample leave exactly once and in order, whatever the blocks', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 20 }), (blocks) => {
        const { chunks, packetizer } = collect();
        packetizer.open();
        let total = 0;
        for (const length of blocks) {
          packetizer.push(ramp(length, total));
          total += length;
        }
        packetizer.close();
        expect(samplesOf(chunks)).toEqual(Array.from({ length: total }, (_, i) => i % 30_000));
        expect(packetizer.emittedSamples).toBe(total);
      }),
    );
  });

  it('says where each chunk begins among all that left', () => {
    const { chunks, packetizer } = collect();
    packetizer.open();
    packetizer.push(ramp(CHUNK_SAMPLES + 100, 0));
    packetizer.close();
    packetizer.open();
    packetizer.push(ramp(10, 0));
    packetizer.close();
    expect(chunks.map(({ firstSample, samples }) => [firstSample, samples.length])).toEqual([
      [0, CHUNK_SAMPLES],
      [CHUNK_SAMPLES, 100],
      [CHUNK_SAMPLES + 100, 10],
    ]);
  });

  it('takes nothing while it is closed', () => {
    const { chunks, packetizer } = collect();
    packetizer.push(ramp(2000, 0));
    packetizer.open();
    packetizer.close();
    packetizer.push(ramp(2000, 0));
    packetizer.close();
    expect(chunks).toEqual([]);
    expect(packetizer.emittedSamples).toBe(0);
  });

  it('takes only the stated count of a block', () => {
    const { chunks, packetizer } = collect();
    packetizer.open();
    packetizer.push(ramp(128, 0), 5);
    packetizer.close();
    expect(samplesOf(chunks)).toEqual([0, 1, 2, 3, 4]);
  });

  it('never uses a chunk again after it left, for the page owns it', () => {
    const { chunks, packetizer } = collect();
    packetizer.open();
    packetizer.push(ramp(CHUNK_SAMPLES * 2, 0));
    expect(chunks[0]?.samples.buffer).not.toBe(chunks[1]?.samples.buffer);
  });
});

describe('PCM16', () => {
  it('clips what is louder than full scale instead of wrapping round', () => {
    expect([1, 1.5, -1, -1.5, 0, 0.5].map(toPcm16)).toEqual([32_767, 32_767, -32_768, -32_768, 0, 16_384]);
  });

  it('measures loudness as root mean square', () => {
    expect(levelOf(new Int16Array(0))).toBe(0);
    expect(levelOf(new Int16Array([16_384, -16_384]))).toBeCloseTo(0.5);
  });
});
