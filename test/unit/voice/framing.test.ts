import { describe, expect, test } from 'vitest';
import { encodeMessage, MAX_MESSAGE_OCTETS, MessageDecoder } from '../../../proto/voice/index.ts';
import { varintLength, Writer } from '../../../proto/wire/index.ts';

/** Most values in one message. */
const MAX_VALUES = 131_072;

function decode(json: string) {
  const text = new TextEncoder().encode(json);
  const out = new Uint8Array(varintLength(text.length) + text.length);
  const decoder = new MessageDecoder();
  decoder.push(new Writer(out).varint(text.length).bytes(text).finish());
  return decoder.read();
}

/** A message of the longest size whose array is made of this element. */
function filledWith(element: string): string {
  const count = Math.floor((MAX_MESSAGE_OCTETS - 64) / (element.length + 1));
  return `{"type":"x","a":[${`${element},`.repeat(count).slice(0, -1)}]}`;
}

describe('what a message may hold', () => {
  test.each([
    ['empty objects', filledWith('{}')],
    ['empty arrays', filledWith('[]')],
    ['digits', filledWith('1')],
    ['empty texts', filledWith('""')],
    ['nested objects', filledWith('{"a":{}}')],
    ['arrays in arrays', `{"type":"x","a":${'['.repeat(4_000_000)}${']'.repeat(4_000_000)}}`],
  ])('one of millions of values is refused before it is parsed: %s', (_what, json) => {
    expect(() => decode(json)).toThrow(/^a message of \d+ values came; the limit is 131072$/);
  });

  test('the bound is exact', () => {
    // Beside the elements: the object, its second member and the array.
    const holding = (elements: number) => `{"type":"x","a":[${Array(elements).fill('{}').join(',')}]}`;
    const most = Math.floor((MAX_VALUES - 2) / 2);
    expect(decode(holding(most))).toMatchObject({ message: { type: 'x' } });
    expect(() => decode(holding(most + 1))).toThrow('the limit is 131072');
  });

  test('text may hold anything, escaped quotes among it, up to the longest message', () => {
    const text = '{[,"\\é'.repeat(700_000);
    const decoder = new MessageDecoder();
    decoder.push(encodeMessage({ type: 'x', text } as { type: string }));
    expect(decoder.next()).toEqual({ type: 'x', text });
  });
});
