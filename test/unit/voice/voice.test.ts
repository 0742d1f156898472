import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AnswerHeaderDecoder,
  AudioHash,
  encodeHeader,
  encodeMessage,
  errorMessage,
  float32ToInt16,
  int16ToFloat32,
  int16ToOctets,
  MAX_WAITING_STRETCHES,
  type Message,
  MessageDecoder,
  type MicrophoneHeader,
  MicrophoneHeaderDecoder,
  MicrophoneOrder,
  msToSamples,
  octetsToInt16,
  PcmAligner,
  parseClientMessage,
  parseServerMessage,
  SessionCloseCode,
  samplesToMs,
  VoiceProtocolError,
} from '../../../proto/voice/index.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);

/** Cuts octets at the given places, which may lie anywhere. */
function cut(octets: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    parts.push(octets.subarray(at, at + size));
    at += size;
  }
  parts.push(octets.subarray(at));
  return parts;
}

function closeCodeOf(action: () => unknown): number | undefined {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(VoiceProtocolError);
    return (error as VoiceProtocolError).closeCode;
  }
  return undefined;
}

describe('control messages', () => {
  test('come out as they went in, however the stream is chopped', () => {
    const message = fc.record({ type: fc.string({ minLength: 1 }), body: fc.jsonValue() });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.nat(40), { maxLength: 30 }),
        (messages, sizes) => {
          const decoder = new MessageDecoder();
          const seen: Message[] = [];
          for (const part of cut(concat(messages.map((m) => encodeMessage(m))), sizes)) {
            decoder.push(part);
            for (let next = decoder.next(); next !== undefined; next = decoder.next()) seen.push(next);
          }
          expect(JSON.stringify(seen)).toBe(JSON.stringify(messages));
          expect(decoder.bufferedOctets).toBe(0);
        },
      ),
    );
  });

  test('one octet at a time is as good as all at once', () => {
    const decoder = new MessageDecoder();
    const octets = encodeMessage({ type: 'x', text: 'ä'.repeat(9000) } as Message);
    for (const octet of octets.subarray(0, -1)) {
      decoder.push(Uint8Array.of(octet));
      expect(decoder.next()).toBeUndefined();
    }
    decoder.push(octets.subarray(-1));
    expect(decoder.next()).toEqual({ type: 'x', text: 'ä'.repeat(9000) });
  });

  test('a length above the bound is refused before a single octet of it is kept', () => {
    const decoder = new MessageDecoder(1000);
    decoder.push(encodeVarint(1001));
    expect(closeCodeOf(() => decoder.next())).toBe(SessionCloseCode.MESSAGE_TOO_LARGE);
    const huge = new MessageDecoder();
    huge.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect(closeCodeOf(() => huge.next())).toBe(SessionCloseCode.MESSAGE_TOO_LARGE);
  });

  test.each([
    ['no JSON', utf8('{')],
    ['no object', utf8('[1]')],
    ['null', utf8('null')],
    ['nothing', utf8('')],
    ['no type', utf8('{"a":1}')],
    ['an empty type', utf8('{"type":""}')],
    ['no UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
  ])('%s is malformed', (_, json) => {
    const decoder = new MessageDecoder();
    decoder.push(concat([encodeVarint(json.length), json]));
    expect(closeCodeOf(() => decoder.next())).toBe(SessionCloseCode.MALFORMED);
  });

  test('random octets give messages or the one typed error, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
        const decoder = new MessageDecoder(200);
        decoder.push(octets);
        closeCodeOf(() => {
          while (decoder.next() !== undefined);
        });
        expect(decoder.bufferedOctets).toBeLessThanOrEqual(octets.length);
      }),
    );
  });

  test('Parley’s own are checked field by field, unknown ones are left to the caller', () => {
    const position = {
      type: 'parley.playback.position',
      itemId: 'item_1',
      contentIndex: 0,
      playedMs: 12.5,
      playedSamples: 300,
      cleared: true,
    };
    expect(parseClientMessage(position)).toEqual(position);
    expect(parseClientMessage({ type: 'parley.tomorrow' })).toBeUndefined();
    expect(parseClientMessage({ type: 'constructor' })).toBeUndefined();
    for (const broken of [{ playedSamples: -1 }, { playedSamples: 0.5 }, { itemId: '' }, { cleared: 1 }]) {
      expect(closeCodeOf(() => parseClientMessage({ ...position, ...broken }))).toBe(
        SessionCloseCode.MALFORMED,
      );
    }
    expect(closeCodeOf(() => parseClientMessage({ type: 'parley.hello' }))).toBe(SessionCloseCode.MALFORMED);
    const error = errorMessage('upstream_closed', 'Gone.');
    expect(parseServerMessage({ ...error })).toEqual({ ...error, retry: true });
  });
});

describe('audio streams', () => {
  const header: MicrophoneHeader = {
    type: 'parley.microphone',
    stretch: 3,
    firstSample: 4800,
    codec: 'pcm16',
    rate: 24_000,
    startMs: 12.25,
  };

  test('the header comes off and every octet behind it is audio, however it is chopped', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.nat(60), { maxLength: 20 }), (audio, sizes) => {
        const decoder = new MicrophoneHeaderDecoder();
        const parts = cut(concat([encodeHeader(header), audio]), sizes).map((part) =>
          decoder.push(part).slice(),
        );
        expect(decoder.header).toEqual(header);
        expect(concat(parts)).toEqual(audio);
      }),
    );
  });

  test('another codec, another rate or the header of the other direction is malformed', () => {
    for (const wrong of [{ codec: 'vorbis' }, { rate: 48_000 }, { stretch: -1 }, { type: 'parley.answer' }]) {
      const octets = encodeHeader({ ...header, ...wrong } as MicrophoneHeader);
      expect(closeCodeOf(() => new MicrophoneHeaderDecoder().push(octets))).toBe(SessionCloseCode.MALFORMED);
    }
    expect(closeCodeOf(() => new AnswerHeaderDecoder().push(encodeHeader(header)))).toBe(
      SessionCloseCode.MALFORMED,
    );
  });
});

describe('PCM', () => {
  test('every 16-bit sample survives the way to float and back, and through octets', () => {
    const all = new Int16Array(65_536).map((_, i) => i - 32_768);
    expect(float32ToInt16(int16ToFloat32(all))).toEqual(all);
    expect(octetsToInt16(int16ToOctets(all))).toEqual(all);
    const shifted = concat([Uint8Array.of(0), int16ToOctets(all)]).subarray(1);
    expect(octetsToInt16(shifted)).toEqual(all);
    expect(int16ToOctets(Int16Array.of(0x0102))).toEqual(Uint8Array.of(0x02, 0x01));
  });

  test('what is louder than full scale is clipped, NaN is silence', () => {
    expect([...float32ToInt16(Float32Array.of(2, -2, 1, -1, Number.NaN))]).toEqual([
      32_767, -32_768, 32_767, -32_768, 0,
    ]);
  });

  test('samples stay whole over any chunk borders', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.nat(9), { maxLength: 40 }), (octets, sizes) => {
        const aligner = new PcmAligner();
        const parts = cut(octets, sizes).map((part) => aligner.push(part).slice());
        for (const part of parts) expect(part.length % 2).toBe(0);
        expect(concat(parts)).toEqual(octets.subarray(0, octets.length - (octets.length % 2)));
        expect(aligner.pendingOctets).toBe(octets.length % 2);
      }),
    );
  });

  test('time and samples', () => {
    expect(samplesToMs(24_000)).toBe(1000);
    expect(msToSamples(20)).toBe(480);
  });
});

describe('the audio hash', () => {
  test('is FNV-1a of 64 bits (vectors of the FNV reference)', () => {
    const hash = (text: string) => new AudioHash().update(utf8(text)).digest();
    expect(hash('')).toBe('cbf29ce484222325');
    expect(hash('a')).toBe('af63dc4c8601ec8c');
    expect(hash('foobar')).toBe('85944171f73967e8');
  });

  test('agrees with BigInt arithmetic and does not care where chunks end', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(300), (octets, at) => {
        let expected = 0xcbf29ce484222325n;
        for (const octet of octets) {
          expected = BigInt.asUintN(64, (expected ^ BigInt(octet)) * 0x100000001b3n);
        }
        const hash = new AudioHash().update(octets.subarray(0, at)).update(octets.subarray(at));
        expect(hash.digest()).toBe(expected.toString(16).padStart(16, '0'));
        expect(hash.octets).toBe(octets.length);
      }),
    );
  });
});

describe('microphone stretches', () => {
  const stretch = (n: number, firstSample: number): MicrophoneHeader => ({
    type: 'parley.microphone',
    stretch: n,
    firstSample,
    codec: 'pcm16',
    rate: 24_000,
    startMs: 0,
  });

  test('are read in the order they were spoken, whatever order they arrive in', () => {
    fc.assert(
      fc.property(
        fc
          .array(fc.nat(5000), { minLength: 1, maxLength: MAX_WAITING_STRETCHES })
          .chain((lengths) =>
            fc.tuple(
              fc.constant(lengths),
              fc.shuffledSubarray([...lengths.keys()], { minLength: lengths.length }),
            ),
          ),
        ([lengths, arrival]) => {
          const firsts = lengths.map((_, n) => lengths.slice(0, n).reduce((sum, length) => sum + length, 0));
          const order = new MicrophoneOrder<number>();
          const read: number[] = [];
          for (const n of arrival) {
            order.offer(stretch(n, firsts[n]!), n);
            for (let next = order.begin(); next !== undefined; next = order.begin()) {
              read.push(next);
              order.advance(lengths[next]!);
              order.finish();
            }
          }
          expect(read).toEqual([...lengths.keys()]);
          expect(order.samples).toBe(lengths.reduce((sum, length) => sum + length, 0));
        },
      ),
    );
  });

  test('only one is read at a time', () => {
    const order = new MicrophoneOrder<string>();
    order.offer(stretch(0, 0), 'first');
    order.offer(stretch(1, 10), 'second');
    expect(order.begin()).toBe('first');
    expect(order.begin()).toBeUndefined();
    order.advance(10);
    order.finish();
    expect(order.begin()).toBe('second');
  });

  test('one that does not begin where the last one ended means lost samples', () => {
    const order = new MicrophoneOrder<string>();
    order.offer(stretch(0, 1), 'x');
    expect(closeCodeOf(() => order.begin())).toBe(SessionCloseCode.MICROPHONE_BROKEN);
  });

  test('the same twice, or one far ahead, is refused', () => {
    const order = new MicrophoneOrder<string>();
    order.offer(stretch(1, 0), 'x');
    expect(closeCodeOf(() => order.offer(stretch(1, 0), 'y'))).toBe(SessionCloseCode.MALFORMED);
    const far = stretch(MAX_WAITING_STRETCHES + 1, 0);
    expect(closeCodeOf(() => order.offer(far, 'z'))).toBe(SessionCloseCode.TOO_MANY_STREAMS);
    expect(order.clear()).toEqual(['x']);
  });
});
