import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AnswerHeaderDecoder,
  encodeHeader,
  encodeMessage,
  MessageDecoder,
} from '../../../proto/voice/index.ts';
import { readServerEvent } from '../../../server/realtime/server-event.ts';

const LONGEST = 'x'.repeat(256);
const TOO_LONG = 'x'.repeat(257);
const delta = {
  type: 'response.output_audio.delta',
  response_id: 'resp_1',
  item_id: 'item_1',
  output_index: 0,
  content_index: 0,
  delta: 'AAAA',
};

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { value };
  return value;
}

describe('events of the upstream that pass', () => {
  test.each([
    ['a known one', { type: 'response.done', response: { id: 'resp_1' } }],
    ['one that is not known', { type: 'something.new', anything: [1, null, { a: 'b' }] }],
    ['a type of 256 characters', { type: LONGEST }],
    ['IDs of 256 characters', { ...delta, item_id: LONGEST, response_id: LONGEST }],
    ['names of an object’s own parts', { type: 'constructor', toString: 1 }],
    ['IDs that are null', { type: 'x', item_id: null, response: { id: null }, item: null }],
    ['audio without indices', { type: delta.type, item_id: 'a', delta: '' }],
    ['audio with padding', { ...delta, delta: 'AAA=' }],
    ['audio without padding', { ...delta, delta: 'AAA' }],
    ['the end of audio', { type: 'response.output_audio.done', item_id: 'a' }],
    ['a nesting of 200', { type: 'x', value: nested(199) }],
  ])('%s', (_, event) => expect(readServerEvent(JSON.stringify(event))).toEqual({ event }));
});

describe('events of the upstream that are left out', () => {
  test.each([
    ['not_json', 'no JSON'],
    ['not_json', ''],
    ['not_object', '[]'],
    ['not_object', 'null'],
    ['not_object', '"text"'],
    ['bad_type', { no: 'type' }],
    ['bad_type', { type: 7 }],
    ['bad_type', { type: '' }],
    ['bad_type', { type: TOO_LONG }],
    ['bad_type', { type: 'parley.error' }],
    ['bad_id', { ...delta, item_id: TOO_LONG }],
    ['bad_id', { ...delta, response_id: 7 }],
    ['bad_id', { type: 'response.done', response: { id: TOO_LONG } }],
    ['bad_id', { type: 'conversation.item.done', item: { id: TOO_LONG } }],
    ['bad_audio', { ...delta, item_id: '' }],
    ['bad_audio', { ...delta, item_id: undefined }],
    ['bad_audio', { ...delta, content_index: 0.5 }],
    ['bad_audio', { ...delta, content_index: -1 }],
    ['bad_audio', { ...delta, output_index: '0' }],
    ['bad_audio', { ...delta, output_index: 2 ** 60 }],
    ['bad_audio', { ...delta, delta: undefined }],
    ['bad_audio', { ...delta, delta: [0, 0] }],
    ['bad_audio', { ...delta, delta: 'AAAA AAAA' }],
    ['bad_audio', { ...delta, delta: 'AAAAA' }],
    ['bad_audio', { ...delta, delta: 'AA=A' }],
    ['bad_audio', { ...delta, type: 'response.output_audio.done', content_index: 0.5 }],
    ['bad_audio', { ...delta, type: 'response.audio.delta', item_id: '' }],
    ['too_deep', { type: 'x', value: nested(200) }],
    ['too_deep', `{"type":"x","value":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ])('%s', (odd, event) => {
    const text = typeof event === 'string' ? event : JSON.stringify(event);
    expect(readServerEvent(text)).toMatchObject({ odd });
  });

  test('of a type that is too long, the beginning is named', () => {
    expect(readServerEvent(JSON.stringify({ type: TOO_LONG }))).toEqual({
      odd: 'bad_type',
      type: 'x'.repeat(64),
    });
  });
});

test('whatever passes, a page can be told: the message decodes, and audio has a header', () => {
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.string(),
    fc.constantFrom(TOO_LONG, LONGEST, '\u0001'.repeat(256)),
    fc.double(),
    fc.integer(),
  );
  const event = fc.record(
    {
      type: fc.oneof(odd, fc.constant(delta.type)),
      response_id: odd,
      item_id: odd,
      output_index: odd,
      content_index: odd,
      delta: fc.oneof(odd, fc.base64String()),
      response: odd,
    },
    { requiredKeys: ['type'] },
  );
  fc.assert(
    fc.property(event, (value) => {
      const read = readServerEvent(JSON.stringify(value));
      if (read.event === undefined) return;
      const decoder = new MessageDecoder();
      decoder.push(encodeMessage(read.event));
      expect(decoder.next()?.type).toBe(read.event.type);
      if (read.event.type !== delta.type) return;
      const { item_id, content_index = 0, output_index = 0 } = read.event as typeof delta;
      const header = { itemId: item_id, contentIndex: content_index, outputIndex: output_index };
      const { response_id } = read.event as typeof delta;
      const responseId = response_id || 'unknown';
      const answers = new AnswerHeaderDecoder();
      answers.push(
        encodeHeader({
          type: 'parley.answer',
          answer: 0,
          firstSample: 0,
          responseId,
          ...header,
          codec: 'pcm16',
          rate: 24_000,
        }),
      );
      expect(answers.header).toMatchObject({ ...header, responseId });
    }),
  );
});

test.each([
  ['response.audio.delta', 'response.output_audio.delta'],
  ['response.audio.done', 'response.output_audio.done'],
  ['response.audio_transcript.delta', 'response.output_audio_transcript.delta'],
  ['response.audio_transcript.done', 'response.output_audio_transcript.done'],
  ['response.text.delta', 'response.output_text.delta'],
  ['response.text.done', 'response.output_text.done'],
])('%s, as the beta had it, is read as %s', (beta, today) => {
  const event = {
    type: beta,
    event_id: 'e',
    response_id: 'r',
    item_id: 'i',
    content_index: 0,
    delta: 'AAAA',
  };
  expect(readServerEvent(JSON.stringify(event))).toEqual({ event: { ...event, type: today } });
});
