import { describe, expect, test } from 'vitest';
import {
  encodeVarint,
  fromHex,
  MAX_SAFE_VARINT,
  Reader,
  readVarint,
  toHex,
  VarintOctets,
  varintLength,
  varintLengthFrom,
  WireError,
  Writer,
} from '../../../proto/wire/index.ts';

describe('a varint (RFC 9000 §16)', () => {
  test.each([
    ['c2197c5eff14e88c', Number('151288809941952652')],
    ['9d7f3e7d', 494_878_333],
    ['7bbd', 15_293],
    ['4025', 37],
    ['25', 37],
  ])('%s of RFC 9000 Appendix A.1 is read as %i', (text, value) => {
    const reader = new Reader(fromHex(text)!);
    expect(reader.varint()).toBe(value);
    expect(reader.done).toBe(true);
    expect(readVarint(fromHex(`00${text}`)!, 1)).toBe(value);
    expect(varintLengthFrom(fromHex(text)![0]!)).toBe(text.length / 2);
  });

  test.each([
    [0, '00'],
    [63, '3f'],
    [64, '4040'],
    [16_383, '7fff'],
    [16_384, '80004000'],
    [2 ** 30 - 1, 'bfffffff'],
    [2 ** 30, 'c000000040000000'],
    [Number.MAX_SAFE_INTEGER, 'c01fffffffffffff'],
  ])('%i is written as %s, by both writers', (value, text) => {
    expect(toHex(encodeVarint(value))).toBe(text);
    expect(toHex(Writer.growing(1).varint(value).finish())).toBe(text);
    expect(varintLength(value)).toBe(text.length / 2);
    const octets = fromHex(text)!;
    expect(readVarint(octets, 0)).toBe(value);
    // Not whole: at the end of the octets, or at the end of those that count.
    expect(readVarint(octets.subarray(0, -1), 0)).toBeUndefined();
    expect(readVarint(octets, 0, octets.length - 1)).toBeUndefined();
  });

  test('what is none is refused, not cut to size', () => {
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(() => encodeVarint(value)).toThrow(WireError);
      expect(() => Writer.growing(1).varint(value)).toThrow(WireError);
    }
  });

  test('one that is cut short moves nothing', () => {
    for (const text of ['40', '800000', 'c0000000000000']) {
      const reader = new Reader(fromHex(text)!);
      expect(() => reader.varint()).toThrow(WireError);
      expect(reader.offset).toBe(0);
    }
    expect(() => new Reader(new Uint8Array(0)).varint()).toThrow(WireError);
  });
});

test('varints are gathered from single octets', () => {
  const octets = new VarintOctets();
  for (const value of [0, 63, 64, 15_293, 494_878_333, MAX_SAFE_VARINT]) {
    const encoded = encodeVarint(value);
    const got = [...encoded].map((octet) => {
      const whole = octets.push(octet);
      expect(octets.begun).toBe(whole === undefined);
      return whole;
    });
    expect(got).toEqual([...new Array(encoded.length - 1).fill(undefined), value]);
  }
});
