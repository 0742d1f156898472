import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AudioDelta, AudioDeltaScanner, audioOf } from '../../../server/realtime/audio-delta.ts';
import { readServerEvent } from '../../../server/realtime/server-event.ts';

const TODAY = 'response.output_audio.delta';
const BETA = 'response.audio.delta';
const event = {
  type: TODAY,
  event_id: 'event_1',
  response_id: 'resp_1',
  item_id: 'item_1',
  output_index: 0,
  content_index: 0,
  delta: 'AAECAwQF',
};

const scan = (text: string | Buffer) => new AudioDeltaScanner().scan(Buffer.from(text as string));

/** One for all that follows, so that what it remembers is tested too. */
const scanner = new AudioDeltaScanner();

/** What is taken must be what JSON.parse makes of it. */
function agrees(message: Buffer): boolean {
  const taken = scanner.scan(message);
  if (taken === undefined) return false;
  const { event: parsed } = readServerEvent(message.toString('utf8'));
  expect(parsed?.type).toBe(TODAY);
  const { event_id, item_id, response_id, output_index, content_index } = taken;
  expect({ event_id, item_id, response_id, output_index, content_index }).toEqual({
    event_id: parsed!.event_id,
    item_id: parsed!.item_id,
    response_id: parsed!.response_id,
    output_index: parsed!.output_index,
    content_index: parsed!.content_index,
  });
  expect(Buffer.from(taken.pcm).equals(Buffer.from(parsed!.delta as string, 'base64'))).toBe(true);
  return true;
}

describe('an audio delta in the form that services write', () => {
  test('is taken with its names, its indexes and its octets', () => {
    const taken = scan(JSON.stringify(event));
    expect(taken).toBeInstanceOf(AudioDelta);
    expect(taken).toMatchObject({ type: TODAY, item_id: 'item_1', response_id: 'resp_1' });
    expect(taken).toMatchObject({ output_index: 0, content_index: 0 });
    expect([...taken!.pcm]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(taken!.delta).toBe(event.delta);
  });

  test.each([
    ['the name of the beta', { ...event, type: BETA }],
    ['fields in another order', Object.fromEntries(Object.entries(event).reverse())],
    ['fields that are not known', { ...event, obfuscation: 'x7$', n: 12, yes: true, no: false, none: null }],
    ['no response and no indexes', { type: TODAY, item_id: 'a', delta: '' }],
    ['a response that is null', { ...event, response_id: null }],
    ['a response without a name', { ...event, response_id: '' }],
    ['great indexes', { ...event, output_index: 999_999_999_999_999, content_index: 10 }],
    ['names of 256 characters', { ...event, item_id: 'i'.repeat(256), response_id: 'r'.repeat(256) }],
    ['padding', { ...event, delta: 'AAA=' }],
    ['more padding', { ...event, delta: 'AA==' }],
    ['no padding where there could be', { ...event, delta: 'AAAAAA' }],
    ['letters of base64url', { ...event, delta: '-_-_' }],
  ])('%s', (_, value) => {
    expect(agrees(Buffer.from(JSON.stringify(value)))).toBe(true);
    expect(agrees(Buffer.from(JSON.stringify(value, undefined, '\t')))).toBe(true);
  });

  test('with white space of every kind (RFC 8259 §2) is taken, with any other it is not', () => {
    const text = JSON.stringify(event, undefined, ' ').replaceAll('\n', ' \n\r\t');
    expect(agrees(Buffer.from(`\t${text}\n`))).toBe(true);
    for (const space of ['\f', '\v', '\u00a0', '\0']) expect(scan(`${space}${text}`)).toBeUndefined();
  });

  test('any audio, any names, any order: taken, and read alike', () => {
    const text = fc.string({ unit: fc.constantFrom(...'abcXYZ019_-.: {}[],/'), minLength: 1, maxLength: 40 });
    const fields = fc.record(
      {
        type: fc.constantFrom(TODAY, BETA),
        item_id: text,
        delta: fc.uint8Array({ maxLength: 400 }).map((octets) => Buffer.from(octets).toString('base64')),
        response_id: fc.option(text),
        output_index: fc.nat(),
        content_index: fc.nat(),
        event_id: text,
        other: fc.oneof(text, fc.nat(), fc.boolean(), fc.constant(null)),
      },
      { requiredKeys: ['type', 'item_id', 'delta'] },
    );
    const shuffled = fields.chain((value) =>
      fc
        .shuffledSubarray(Object.entries(value), { minLength: Object.keys(value).length })
        .map((entries) => Object.fromEntries(entries)),
    );
    fc.assert(
      fc.property(shuffled, fc.constantFrom('', ' ', '\t'), (value, space) => {
        expect(agrees(Buffer.from(JSON.stringify(value, undefined, space)))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('what is left to JSON.parse', () => {
  test.each([
    ['another event', JSON.stringify({ ...event, type: 'response.output_audio_transcript.delta' })],
    ['no object', '[]'],
    ['nothing', ''],
    ['an object of nothing', '{}'],
    ['no type', JSON.stringify({ ...event, type: undefined })],
    ['no item', JSON.stringify({ ...event, item_id: undefined })],
    ['no audio', JSON.stringify({ ...event, delta: undefined })],
    ['an item without a name', JSON.stringify({ ...event, item_id: '' })],
    ['an item that is null', JSON.stringify({ ...event, item_id: null })],
    ['a name of 257 characters', JSON.stringify({ ...event, item_id: 'x'.repeat(257) })],
    ['a response of 257 characters', JSON.stringify({ ...event, response_id: 'x'.repeat(257) })],
    ['a response that is true', JSON.stringify({ ...event, response_id: true })],
    ['an index below 0', JSON.stringify({ ...event, output_index: -1 })],
    ['a broken index', JSON.stringify({ ...event, output_index: 0.5 })],
    ['an index that is no safe integer', JSON.stringify({ ...event, output_index: 2 ** 60 })],
    ['an index that is null', JSON.stringify({ ...event, content_index: null })],
    ['an index with a 0 before it', JSON.stringify(event).replace('"output_index":0', '"output_index":00')],
    ['an escape in a name', JSON.stringify(event).replace('item_1', 'item\\u005f1')],
    ['an escape in the name of a field', JSON.stringify(event).replace('"delta"', '"d\\u0065lta"')],
    ['an escape in the audio', JSON.stringify(event).replace('AAECAwQF', 'AAEC\\/AwQ')],
    ['letters beyond ASCII', JSON.stringify({ ...event, item_id: 'été' })],
    ['a control character', JSON.stringify(event).replace('item_1', 'item\n1')],
    ['an event whose name is null', JSON.stringify({ ...event, event_id: null })],
    ['an object among the fields', JSON.stringify({ ...event, more: {} })],
    ['a list among the fields', JSON.stringify({ ...event, more: [] })],
    ['audio twice', JSON.stringify(event).replace('"delta"', '"delta":"BBBB","delta"')],
    ['an item twice', JSON.stringify(event).replace('{', '{"item_id":"other",')],
    ['a type twice', JSON.stringify(event).replace('}', ',"type":"error"}')],
    ['something behind it', `${JSON.stringify(event)}x`],
    ['two in one', JSON.stringify(event).repeat(2)],
    ['a byte order mark', `\uFEFF${JSON.stringify(event)}`],
    ['a comma too many', JSON.stringify(event).replace('}', ',}')],
    ['no comma', JSON.stringify(event).replace('",', '"')],
    ['a text that is cut', JSON.stringify(event).slice(0, -2)],
    ['audio that is cut', JSON.stringify({ ...event, delta: 'AAAAA' })],
    ['audio with a space in it', JSON.stringify({ ...event, delta: 'AA AA' })],
    ['audio with padding within', JSON.stringify({ ...event, delta: 'AA=A' })],
    ['too much padding', JSON.stringify({ ...event, delta: 'A===' })],
    ['a single letter', JSON.stringify({ ...event, delta: 'A' })],
  ])('%s', (_, text) => expect(scan(text)).toBeUndefined());

  test('a message is not kept', () => {
    const message = Buffer.from(JSON.stringify(event));
    const taken = scanner.scan(message)!;
    message.fill(0);
    expect([...taken.pcm]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(taken.item_id).toBe('item_1');
  });
});

describe('hostile messages', () => {
  const field = fc.constantFrom(...Object.keys(event), 'response', '__proto__', 'toString', '');
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(TODAY, BETA, 'item_1', 'i'.repeat(257), '', 'AAA=', 'AAAA', 'A', '\\', '"', '\u2028'),
    fc.integer(),
    fc.double(),
  );
  /** Written by hand, so that a name may come twice. */
  const written = fc
    .array(fc.tuple(field, value), { maxLength: 9 })
    .map((entries) => `{${entries.map(([name, of]) => `${JSON.stringify(name)}:${JSON.stringify(of)}`)}}`);

  test('whatever object comes: what is taken, JSON.parse reads alike', () => {
    fc.assert(
      fc.property(written, (text) => void agrees(Buffer.from(text))),
      { numRuns: 3000 },
    );
  });

  test('fields added to an event, before it and behind it', () => {
    const entry = fc.tuple(field, value).map(([name, of]) => `${JSON.stringify(name)}:${JSON.stringify(of)}`);
    fc.assert(
      fc.property(entry, fc.boolean(), (more, before) => {
        const text = JSON.stringify(event);
        agrees(Buffer.from(before ? text.replace('{', `{${more},`) : text.replace(/}$/, `,${more}}`)));
      }),
      { numRuns: 3000 },
    );
  });

  test('an event with octets changed, left out or put in: never another than JSON.parse reads, and no throw', () => {
    const letters = [...'{}[]":,\\ =-+.0123456789eEtrufalsnAZ_'].map((letter) => letter.charCodeAt(0));
    const octet = fc.oneof(fc.constantFrom(...letters), fc.integer({ min: 0, max: 255 }));
    const change = fc.tuple(fc.nat(), fc.constantFrom('change', 'out', 'in', 'cut'), octet);
    let taken = 0;
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let octets = [...Buffer.from(JSON.stringify(event))];
        for (const [where, what, by] of changes) {
          const at = where % (octets.length || 1);
          if (what === 'change') octets[at] = by;
          else if (what === 'out') octets.splice(at, 1);
          else if (what === 'in') octets.splice(at, 0, by);
          else octets = octets.slice(0, at);
        }
        if (agrees(Buffer.from(octets))) taken += 1;
      }),
      { numRuns: 10_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test('16 MiB without an end are looked at once', () => {
    const head = `{"type":"${TODAY}","item_id":"a","delta":"`;
    const octets = 12 << 20;
    const long = Buffer.from(`${head}${'A'.repeat((octets / 3) * 4)}"}`);
    expect(scanner.scan(long.subarray(0, -2))).toBeUndefined();
    expect(scanner.scan(long)?.pcm.length).toBe(octets);
  });
});

test('the audio of an event is the same, whichever way it came', () => {
  const text = JSON.stringify(event);
  expect(audioOf(readServerEvent(text).event!)).toEqual(Buffer.from(scan(text)!.pcm));
  expect(audioOf({ type: TODAY })).toBeUndefined();
});

test('audio with any octet in it that is no letter of base64 is not taken', () => {
  const message = Buffer.from(JSON.stringify({ ...event, delta: Buffer.alloc(30, 0xa5).toString('base64') }));
  const start = message.indexOf('paWl');
  for (let octet = 0; octet < 256; octet++) {
    const isLetter = /[A-Za-z0-9+/_-]/.test(String.fromCharCode(octet));
    for (let at = start; at < start + 40; at++) {
      const changed = Buffer.from(message);
      changed[at] = octet;
      const padding = octet === '='.charCodeAt(0) && at === start + 39;
      expect(scanner.scan(changed) !== undefined).toBe(isLetter || padding);
    }
  }
});
