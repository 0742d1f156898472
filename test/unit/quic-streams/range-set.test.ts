import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RangeSet } from '../../../proto/quic/ack/index.ts';

const operation = fc.record({
  add: fc.boolean(),
  start: fc.nat(60),
  length: fc.nat(20),
});

function values(set: RangeSet): number[] {
  const out: number[] = [];
  for (let i = 0; i < set.length; i++) for (let v = set.startAt(i); v < set.endAt(i); v++) out.push(v);
  return out;
}

describe('RangeSet', () => {
  test('holds what a plain set of numbers would, in sorted ranges that do not touch', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const set = new RangeSet();
        const model = new Set<number>();
        for (const { add, start, length } of operations) {
          const touched = Array.from({ length }, (_, i) => start + i);
          const isNew = touched.some((v) => !model.has(v));
          for (const v of touched) add ? model.add(v) : model.delete(v);
          if (add) expect(set.add(start, start + length)).toBe(isNew);
          else set.remove(start, start + length);
          expect(values(set)).toEqual([...model].sort((a, b) => a - b));
          for (let i = 1; i < set.length; i++) expect(set.startAt(i)).toBeGreaterThan(set.endAt(i - 1));
        }
        for (let v = 0; v < 90; v++) expect(set.contains(v)).toBe(model.has(v));
      }),
    );
  });

  test('gives the missing part of a range to another set', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 10 }), fc.nat(60), fc.nat(30), (held, start, length) => {
        const set = new RangeSet();
        for (const { start: from, length: octets } of held) set.add(from, from + octets);
        const missing = new RangeSet();
        set.addMissingTo(missing, start, start + length);
        const expected: number[] = [];
        for (let v = start; v < start + length; v++) if (!set.contains(v)) expected.push(v);
        expect(values(missing)).toEqual(expected);
      }),
    );
  });

  test('knows its end, is emptied, and drops its lowest range', () => {
    const set = new RangeSet();
    expect(set.end).toBe(0);
    set.add(3, 5);
    set.add(9, 10);
    expect(set.end).toBe(10);
    set.dropLowest();
    expect(values(set)).toEqual([9]);
    set.clear();
    expect(set.isEmpty).toBe(true);
  });
});
