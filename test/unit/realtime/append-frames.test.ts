import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendFrame, appendText, sendAudio } from '../../../server/realtime/append-frames.ts';
import { DeferredUpstream, WrappedUpstream } from '../../../server/realtime/index.ts';
import { until } from '../../support/realtime.ts';
import { FakeUpstream } from '../../support/voice-page.ts';

/** What a server reads (RFC 6455 §5.2, §5.3), and the frame's head. */
function read(frame: Buffer) {
  const [first = 0, second = 0] = frame;
  const short = second & 0x7f;
  const maskAt = short === 126 ? 4 : 2;
  const length = short === 126 ? frame.readUInt16BE(2) : short;
  const mask = frame.subarray(maskAt, maskAt + 4);
  const payload = Buffer.from(frame.subarray(maskAt + 4));
  for (let i = 0; i < payload.length; i++) payload[i]! ^= mask[i % 4]!;
  return { first, masked: second >> 7, short, length, mask, text: payload.toString('latin1') };
}

describe('microphone audio as WebSocket frames', () => {
  test('any audio: a whole, masked text with the shortest length, of the same JSON', () => {
    const lengths = fc.oneof(fc.nat(100), fc.constantFrom(1920, 4800, 48_000), fc.nat(6000));
    fc.assert(
      fc.property(lengths, fc.nat(255), (length, seed) => {
        const pcm = Uint8Array.from({ length }, (_, i) => (seed + i * 151) & 0xff);
        const text = appendText(pcm);
        expect(JSON.parse(text)).toEqual({
          type: 'input_audio_buffer.append',
          audio: Buffer.from(pcm).toString('base64'),
        });
        const frame = read(appendFrame(pcm)!);
        expect(frame).toMatchObject({ first: 0x81, masked: 1, length: text.length });
        expect(frame.short).toBe(text.length <= 125 ? text.length : 126);
        expect(frame.text === text).toBe(true);
      }),
    );
  });

  test('no two frames have the same mask (RFC 6455 §5.3), and one is made where the last one was', () => {
    const pcm = new Uint8Array(1920).fill(3);
    const masks = Array.from({ length: 3000 }, () => {
      const { mask, text } = read(appendFrame(pcm)!);
      expect(text === appendText(pcm)).toBe(true);
      return mask.toString('hex');
    });
    expect(new Set(masks).size).toBeGreaterThan(2990);
    expect(appendFrame(pcm)!.buffer).toBe(appendFrame(pcm)!.buffer);
  });

  test('more than a frame of 16 bits holds is none', () => {
    expect(appendFrame(new Uint8Array(49_000))).toBeDefined();
    expect(appendFrame(new Uint8Array(49_200))).toBeUndefined();
  });
});

describe('an upstream that is given audio', () => {
  const pcm = new Uint8Array([1, 2, 3, 4]);

  test('as text, where it knows no other way; wrapped ones too', async () => {
    const upstream = new FakeUpstream();
    sendAudio(upstream, pcm);
    sendAudio(new WrappedUpstream(upstream), pcm);
    const deferred = new DeferredUpstream('custom', Promise.resolve(upstream));
    sendAudio(deferred, pcm);
    const told = () => {
      sendAudio(deferred, pcm);
      return upstream.texts.length > 2;
    };
    await until(told, 'the upstream');
    expect(new Set(upstream.texts)).toEqual(new Set([appendText(pcm)]));
  });
});
