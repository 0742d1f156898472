import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import * as z from 'zod';
import { VoiceProtocolError } from '../../../proto/voice/codes.ts';
import {
  checked,
  flag,
  list,
  measure,
  nullable,
  object,
  oneOf,
  optional,
  type Schema,
  text,
  whole,
} from '../../../proto/voice/schema.ts';

/** Ours, and what zod calls the same. */
const PAIRS: readonly (readonly [string, Schema<unknown>, z.ZodType])[] = [
  ['a text', text(), z.string()],
  ['a bounded text', text(1, 3), z.string().min(1).max(3)],
  ['a whole number', whole(), z.int().nonnegative()],
  ['a bounded whole number', whole(1, 7), z.int().min(1).max(7)],
  ['any whole number', whole(Number.MIN_SAFE_INTEGER), z.int()],
  ['a measure', measure(), z.number().nonnegative()],
  ['a flag', flag(), z.boolean()],
  ['one of some', oneOf('a', 7, true), z.union([z.literal('a'), z.literal(7), z.literal(true)])],
  ['an optional one', optional(text()), z.optional(z.string())],
  ['a nullable one', nullable(whole()), z.nullable(z.int().nonnegative())],
  ['a list', list(whole(0, 2), 1, 3), z.array(z.int().min(0).max(2)).min(1).max(3)],
  [
    'an object',
    object({ a: whole(), b: optional(text(1, 2)) }),
    z.object({ a: z.int().nonnegative(), b: z.optional(z.string().min(1).max(2)) }),
  ],
  [
    'objects in a list in an object',
    object({ list: list(object({ a: nullable(flag()) }), 0, 2) }),
    z.object({ list: z.array(z.object({ a: z.nullable(z.boolean()) })).max(2) }),
  ],
];

const edges = fc.constantFrom<unknown>(
  undefined,
  null,
  '',
  'a',
  'abcd',
  0,
  -0,
  -1,
  1,
  7,
  8,
  0.5,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  Number.NaN,
  Number.POSITIVE_INFINITY,
  true,
  false,
  [],
  {},
);
const flat = fc.oneof(
  edges,
  fc.jsonValue(),
  fc.double(),
  fc.integer(),
  fc.integer({ min: -1, max: 9 }),
  fc.constantFrom<unknown>(true, false, 'a', 7),
  fc.string({ maxLength: 4 }),
);
const values = fc.oneof(
  flat,
  fc.array(fc.oneof(fc.integer({ min: 0, max: 3 }), flat), { maxLength: 4 }),
  fc.record({ a: flat, b: flat }, { requiredKeys: [] }),
  fc.record({ a: fc.nat(9), b: fc.string({ maxLength: 3 }), c: flat }, { requiredKeys: [] }),
  fc.record({ list: fc.array(fc.record({ a: fc.oneof(fc.boolean(), flat) }), { maxLength: 3 }) }),
);

describe('a schema takes what zod takes, and refuses what it refuses', () => {
  test.each(PAIRS)('%s', (_, ours, theirs) => {
    let [taken, refused] = [0, 0];
    fc.assert(
      fc.property(values, (value) => {
        const takes = theirs.safeParse(value).success;
        if (takes) taken += 1;
        else refused += 1;
        expect(ours(value) === undefined).toBe(takes);
      }),
      { numRuns: 2000 },
    );
    // A generator that makes one kind alone compares nothing.
    expect(taken).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(5);
  });
});

describe('what is wrong', () => {
  const schema = object({
    type: text(),
    call: object({ ids: list(text(1, 4), 0, 3), how: oneOf('new', 'restored') }),
  });
  const call = { ids: ['a'], how: 'new' };
  const said = (message: Record<string, unknown>) => {
    try {
      checked(schema, { type: 'parley.x', ...message }, 'parley.x');
      return 'nothing';
    } catch (error) {
      expect(error).toBeInstanceOf(VoiceProtocolError);
      return (error as Error).message;
    }
  };

  it.each([
    [{ call }, 'nothing'],
    [{ call: { ...call, more: 1 } }, 'nothing'],
    [{}, 'parley.x is malformed: call: an object is expected'],
    [
      { call: { ...call, ids: ['a', ''] } },
      'parley.x is malformed: call.ids.1: a text of 1 to 4 characters is expected',
    ],
    [{ call: { ...call, ids: 'a' } }, 'parley.x is malformed: call.ids: a list of 0 to 3 is expected'],
    [{ call: { ...call, how: 'old' } }, 'parley.x is malformed: call.how: new or restored is expected'],
    [{ type: 7, call }, 'parley.x is malformed: type: a text is expected'],
  ])('%j: %s', (message, sentence) => {
    expect(said(message)).toBe(sentence);
  });

  it('gives the message itself: what a newer peer says beside it stands in it still', () => {
    const message = { type: 'parley.x', call, tomorrow: 1 };
    expect(checked(schema, message, 'parley.x')).toBe(message);
  });
});
