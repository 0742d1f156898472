import { expect, test } from 'vitest';
import { DatagramSlab } from '../../../proto/quic/connection/send/datagram-slab.ts';

function write(slab: DatagramSlab, octets: number, value: number): Uint8Array {
  const writer = slab.begin(octets);
  writer.bytes(new Uint8Array(octets).fill(value));
  return slab.take(writer.offset);
}

test('what was taken is never written to again, over many slabs', () => {
  const slab = new DatagramSlab();
  const taken = Array.from({ length: 200 }, (_, i) => write(slab, 1200, i & 0xff));
  for (const [i, data] of taken.entries()) expect(data.every((octet) => octet === (i & 0xff))).toBe(true);
  expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(4);
});

test('a datagram that is begun and not taken leaves its room to the next', () => {
  const slab = new DatagramSlab();
  slab.begin(1200).u8(1);
  const data = write(slab, 10, 2);
  expect(data.byteOffset).toBe(0);
  expect([...data]).toEqual(new Array(10).fill(2));
});

test('one that is larger than a slab gets its own; the writer stops at the room it was given', () => {
  const slab = new DatagramSlab();
  expect(write(slab, 70_000, 3).length).toBe(70_000);
  expect(slab.begin(100).remaining).toBe(100);
});

test('where memory is reused each datagram is written over the last one', () => {
  const slab = new DatagramSlab(true);
  const first = write(slab, 1200, 1);
  const second = write(slab, 900, 2);
  expect([second.buffer, second.byteOffset, second.length]).toEqual([first.buffer, first.byteOffset, 900]);
  expect([first[0], first[899], first[900]]).toEqual([2, 2, 1]);
});

test('two slabs share nothing', () => {
  const [a, b] = [new DatagramSlab(), new DatagramSlab()];
  expect(write(a, 10, 1).buffer).not.toBe(write(b, 10, 2).buffer);
});
