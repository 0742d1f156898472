import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayLog } from '../../../proto/voice/resume/replay-log.ts';

const LIMITS = { maxEntries: 1000, maxOctets: 10_000 };

describe('ReplayLog', () => {
  it('gives from any kept number on what was appended there, in order', () => {
    const log = new ReplayLog<string>(LIMITS);
    for (const word of ['a', 'b', 'c', 'd']) log.append(word, 1);
    expect(log.acknowledge(2)).toBe(true);
    expect([...log.from(0)]).toEqual([
      [2, 'c'],
      [3, 'd'],
    ]);
    expect([...log.from(3)]).toEqual([[3, 'd']]);
    expect([...log.from(4)]).toEqual([]);
    expect([log.first, log.next, log.octets]).toEqual([2, 4, 2]);
  });

  it('refuses an acknowledgement of what was never sent, and ignores an old one', () => {
    const log = new ReplayLog<number>(LIMITS, 5);
    log.append(0, 1);
    for (const wrong of [7, Number.NaN, 5.5, Number.POSITIVE_INFINITY])
      expect(log.acknowledge(wrong)).toBe(false);
    expect(log.acknowledge(6)).toBe(true);
    expect(log.acknowledge(2)).toBe(true);
    expect([log.first, log.size]).toEqual([6, 0]);
    expect([log.reaches(6), log.reaches(5), log.reaches(7)]).toEqual([true, false, false]);
  });

  it('is full at its bound of entries and at its bound of octets, and takes more after an acknowledgement', () => {
    const few = new ReplayLog<number>({ maxEntries: 3, maxOctets: 100 });
    expect([1, 2, 3, 4].map((n) => few.append(n, 1))).toEqual([0, 1, 2, undefined]);
    few.acknowledge(1);
    expect(few.append(4, 1)).toBe(3);
    const small = new ReplayLog<number>({ maxEntries: 100, maxOctets: 10 });
    expect([small.append(1, 6), small.append(2, 6), small.append(3, 4)]).toEqual([0, undefined, 1]);
  });

  it('never loses or doubles a message, whatever is acknowledged when', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant('append'), fc.nat(20))), (steps) => {
        const log = new ReplayLog<number>(LIMITS);
        let count = 0;
        let acknowledged = 0;
        for (const step of steps) {
          if (step === 'append') log.append(count++, 1);
          else if (log.acknowledge(Math.min(count, acknowledged + Number(step))))
            acknowledged = Math.min(count, acknowledged + Number(step));
        }
        const kept = Array.from({ length: count - acknowledged }, (_, i) => acknowledged + i);
        expect([...log.from(0)].map(([number, value]) => [number, value])).toEqual(kept.map((n) => [n, n]));
        expect(log.octets).toBe(kept.length);
      }),
    );
  });
});
