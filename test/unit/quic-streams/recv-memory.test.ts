import { describe, expect, test } from 'vitest';
import { RecvStream } from '../../../proto/quic/streams/recv-stream.ts';

const WINDOW_OCTETS = 65_536;

describe('what a reader that keeps what it read keeps with it', () => {
  test('a short message is an array of its own: it does not keep a whole block', () => {
    const stream = new RecvStream(0, WINDOW_OCTETS);
    stream.receive(0, new Uint8Array(100).fill(7), false);
    const read = stream.read();
    expect(read?.data).toEqual(new Uint8Array(100).fill(7));
    expect(read?.data.buffer.byteLength).toBe(100);
  });

  test('pieces of any size come out as they went in, copied or not', () => {
    const stream = new RecvStream(0, WINDOW_OCTETS);
    const sent = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 31) & 0xff);
    for (let at = 0; at < sent.length; at += 1000) stream.receive(at, sent.subarray(at, at + 1000), false);
    const got: number[] = [];
    for (const octets of [1, 511, 512, 513, 3000, 4096, 5000, 100, 20_000])
      got.push(...stream.read(octets)!.data);
    expect(Uint8Array.from(got)).toEqual(sent);
  });
});
