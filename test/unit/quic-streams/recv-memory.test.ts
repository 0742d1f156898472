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

  test('a stream of messages holds no block between them, however many went before', () => {
    const stream = new RecvStream(0, WINDOW_OCTETS);
    const held: number[] = [];
    for (let n = 0; n < 100; n++) {
      stream.receive(100 * n, new Uint8Array(100).fill(n), false);
      expect(stream.read()!.data).toEqual(new Uint8Array(100).fill(n));
      held.push(stream.heldOctets);
    }
    expect(new Set(held)).toEqual(new Set([0]));
  });

  test('but while a part of one waits for its rest it does', () => {
    const stream = new RecvStream(0, WINDOW_OCTETS);
    stream.receive(0, new Uint8Array(100).fill(1), false);
    stream.receive(200, new Uint8Array(100).fill(3), false);
    expect(stream.read()!.data).toHaveLength(100);
    expect(stream.heldOctets).toBe(4096);
    stream.receive(100, new Uint8Array(100).fill(2), false);
    expect(stream.read()!.data).toEqual(Uint8Array.from({ length: 200 }, (_, i) => (i < 100 ? 2 : 3)));
    expect(stream.heldOctets).toBe(0);
  });
});
