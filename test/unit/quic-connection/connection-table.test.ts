import { describe, expect, test } from 'vitest';
import { ConnectionTable } from '../../../proto/quic/endpoint/connection-table.ts';
import type { ConnectionEntry } from '../../../proto/quic/endpoint/entry.ts';
import { randomConnectionIds, seededRandom } from '../../support/quic-fixtures.ts';

const entry = (name: string) => ({ name }) as unknown as ConnectionEntry;

function table() {
  const random = seededRandom(7);
  return new ConnectionTable(randomConnectionIds(random), random(32), random);
}

describe('which connection a CID leads to', () => {
  test('a few thousand CIDs, more than are remembered: each leads to its own, asked in turn and again', () => {
    const all = table();
    const entries = Array.from({ length: 1500 }, (_, i) => entry(String(i)));
    const ids = entries.flatMap((one) => [0, 1, 2].map(() => [all.issue(one), one] as const));
    for (let round = 0; round < 2; round++)
      for (const [id, one] of ids) expect(all.find(id.slice()) === one).toBe(true);
  });

  test('one that was removed leads nowhere, whether or not it was found just before', () => {
    const all = table();
    const [kept, gone] = [all.issue(entry('a')), all.issue(entry('b'))];
    expect(all.find(gone)).toBeDefined();
    all.remove(gone);
    expect(all.find(gone)).toBeUndefined();
    expect(all.find(kept)).toEqual({ name: 'a' });
  });

  test('CIDs that are remembered in one place do not hide one another', () => {
    const all = table();
    // Their last three octets are the same.
    const [one, other] = [Uint8Array.of(1, 9, 9, 9), Uint8Array.of(2, 9, 9, 9)];
    all.add(one, entry('one'));
    all.add(other, entry('other'));
    for (let i = 0; i < 3; i++) {
      expect(all.find(one)).toEqual({ name: 'one' });
      expect(all.find(other)).toEqual({ name: 'other' });
    }
    all.remove(one);
    expect(all.find(one)).toBeUndefined();
    expect(all.find(other)).toEqual({ name: 'other' });
    all.add(one, entry('a later one'));
    expect(all.find(one)).toEqual({ name: 'a later one' });
    expect(all.find(new Uint8Array(0))).toBeUndefined();
  });

  test('the octets that were asked with may change: they are those of a datagram', () => {
    const all = table();
    const id = Uint8Array.of(5, 6, 7, 8);
    all.add(id, entry('five'));
    // Forgotten, since another takes its place, and found in the map.
    all.add(Uint8Array.of(4, 6, 7, 8), entry('four'));
    const datagram = id.slice();
    expect(all.find(datagram)).toEqual({ name: 'five' });
    datagram[0] = 1;
    expect(all.find(datagram)).toBeUndefined();
    expect(all.find(id)).toEqual({ name: 'five' });
  });

  test('CIDs that share memory are as they were issued, and do not overlap', () => {
    const all = table();
    const ids = Array.from({ length: 40 }, () => all.issue(entry('x')));
    const copies = ids.map((id) => id.slice());
    expect(new Set(copies.map((id) => Buffer.from(id).toString('hex'))).size).toBe(40);
    expect(ids.map((id) => id.slice())).toEqual(copies);
    expect(new Set(ids.map((id) => id.buffer)).size).toBe(3);
  });
});
