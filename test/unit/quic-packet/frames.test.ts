import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TransportError, TransportErrorCode } from '../../../proto/quic/errors.ts';
import {
  decodeFrames,
  type Frame,
  type FramePacketType,
  FrameType,
  frameRule,
  writeAck,
  writeConnectionClose,
  writeDatagram,
} from '../../../proto/quic/frames/index.ts';
import { concat, fromHex, Writer } from '../../../proto/wire/index.ts';
import { writeFrame } from '../../support/write-frame.ts';

const hex = (text: string): Uint8Array => fromHex(text)!;
const decode = (text: string, packet: FramePacketType = 'oneRtt', sender: 'client' | 'server' = 'server') =>
  decodeFrames(hex(text), packet, sender);
const { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } = TransportErrorCode;

const integer = fc.oneof(fc.nat(100), fc.nat(20_000), fc.nat(), fc.maxSafeNat());
const offset = fc.maxSafeNat().map((value) => value - (value % 2));
const octets = fc.uint8Array({ maxLength: 60 });
const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const ackRanges = fc
  .tuple(fc.array(fc.tuple(fc.nat(200), fc.nat(200)), { minLength: 1, maxLength: 20 }), fc.nat(100_000))
  .map(([steps, lowest]) => {
    const ranges: { smallest: number; largest: number }[] = [];
    let at = lowest;
    for (const [gap, span] of steps) {
      ranges.unshift({ smallest: at, largest: at + span });
      at += span + gap + 2;
    }
    return ranges;
  });
const ecn = fc.option(fc.record({ ect0: integer, ect1: integer, ce: integer }), { nil: undefined });
const sequences = fc
  .tuple(integer, integer)
  .map(([a, b]) => ({ sequence: Math.max(a, b), retirePriorTo: Math.min(a, b) }));

const sizes = fc
  .tuple(integer, integer)
  .map(([a, b]) => ({ finalSize: Math.max(a, b), reliableSize: Math.min(a, b) }));

const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.constant<Frame>({ type: 'ping' }),
  fc.constant<Frame>({ type: 'handshakeDone' }),
  fc.constant<Frame>({ type: 'immediateAck' }),
  fc.record({
    type: fc.constant('ackFrequency' as const),
    sequence: integer,
    threshold: integer,
    maxAckDelayMicros: integer,
    reorderingThreshold: integer,
  }),
  fc.record({ type: fc.constant('ack' as const), ranges: ackRanges, delay: integer, ecn }),
  fc.record({
    type: fc.constant('resetStream' as const),
    streamId: integer,
    code: integer,
    finalSize: integer,
  }),
  fc.tuple(integer, integer, sizes).map(([streamId, code, both]) => ({
    type: 'resetStreamAt' as const,
    streamId,
    code,
    ...both,
  })),
  fc.record({ type: fc.constant('stopSending' as const), streamId: integer, code: integer }),
  fc.record({ type: fc.constant('crypto' as const), offset, data: octets }),
  fc.record({
    type: fc.constant('newToken' as const),
    token: fc.uint8Array({ minLength: 1, maxLength: 60 }),
  }),
  fc.record({
    type: fc.constant('stream' as const),
    streamId: integer,
    offset,
    data: octets,
    fin: fc.boolean(),
  }),
  fc.record({ type: fc.constant('maxData' as const), maximum: integer }),
  fc.record({ type: fc.constant('maxStreamData' as const), streamId: integer, maximum: integer }),
  fc.record({ type: fc.constant('maxStreams' as const), bidirectional: fc.boolean(), maximum: integer }),
  fc.record({ type: fc.constant('dataBlocked' as const), limit: integer }),
  fc.record({ type: fc.constant('streamDataBlocked' as const), streamId: integer, limit: integer }),
  fc.record({ type: fc.constant('streamsBlocked' as const), bidirectional: fc.boolean(), limit: integer }),
  fc
    .tuple(sequences, fc.uint8Array({ minLength: 1, maxLength: 20 }), fixed(16))
    .map(([numbers, connectionId, statelessResetToken]) => ({
      type: 'newConnectionId' as const,
      ...numbers,
      connectionId,
      statelessResetToken,
    })),
  fc.record({ type: fc.constant('retireConnectionId' as const), sequence: integer }),
  fc.record({ type: fc.constant('pathChallenge' as const), data: fixed(8) }),
  fc.record({ type: fc.constant('pathResponse' as const), data: fixed(8) }),
  fc.record({
    type: fc.constant('connectionClose' as const),
    application: fc.constant(false),
    code: integer,
    frameType: integer,
    reason: fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replaceAll('\ufeff', '')),
  }),
  octets.map((data) => ({ type: 'datagram' as const, data, frameOctets: data.length + 2 })),
);

describe('frames (RFC 9000 §19)', () => {
  it('round-trips every frame, many to a packet', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 12 }), (frames) => {
        const writer = Writer.growing();
        for (const one of frames) writeFrame(writer, one);
        expect(decodeFrames(writer.finish(), 'oneRtt', 'server').frames).toEqual(frames);
      }),
      { numRuns: 1000 },
    );
  });

  it('throws nothing but TransportError for arbitrary octets', () => {
    const packet = fc.constantFrom<FramePacketType>('initial', 'zeroRtt', 'handshake', 'oneRtt');
    const lead = fc.nat(0x31).map((type) => Uint8Array.of(type));
    fc.assert(
      fc.property(
        lead,
        octets,
        packet,
        fc.constantFrom('client' as const, 'server' as const),
        (type, tail, kind, sender) => {
          try {
            decodeFrames(concat([type, tail]), kind, sender);
          } catch (error) {
            expect(error).toBeInstanceOf(TransportError);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('refuses every frame that is cut short with FRAME_ENCODING_ERROR', () => {
    fc.assert(
      fc.property(frame, (one) => {
        const writer = Writer.growing();
        writeFrame(writer, one);
        const whole = writer.finish();
        const isLongType = one.type === 'ackFrequency';
        for (let end = 1; end < whole.length; end++) {
          const longType = end === 1 ? 0 : FrameType.ACK_FREQUENCY;
          const frameType = isLongType ? longType : whole[0];
          expect(() => decodeFrames(whole.subarray(0, end), 'oneRtt', 'server')).toThrowError(
            expect.objectContaining({ code: FRAME_ENCODING_ERROR, frameType }),
          );
        }
      }),
      { numRuns: 200 },
    );
  });

  it('refuses a packet without frames as PROTOCOL_VIOLATION (RFC 9000 §12.4)', () => {
    expect(() => decode('')).toThrowError(expect.objectContaining({ code: PROTOCOL_VIOLATION }));
  });

  it.each([
    ['an unknown type (§12.4)', '21', FRAME_ENCODING_ERROR],
    ['an unknown type of 8 octets', 'ffffffffffffffff', FRAME_ENCODING_ERROR],
    ['a type that is cut short', '40', FRAME_ENCODING_ERROR],
    ['PING in two octets (§12.4)', '4001', PROTOCOL_VIOLATION],
    ['an ACK below zero (§19.3.1)', '0205000006', FRAME_ENCODING_ERROR],
    ['an ACK whose gap goes below zero', '02050001000400', FRAME_ENCODING_ERROR],
    ['an ACK of more packets than exist', '02ffffffffffffffff000000', PROTOCOL_VIOLATION],
    ['an ACK with ranges that are not there', '02bfffffff00bfffffff00', FRAME_ENCODING_ERROR],
    ['an empty NEW_TOKEN (§19.7)', '0700', FRAME_ENCODING_ERROR],
    ['STREAM beyond 2^62 - 1 (§19.8)', '0e00ffffffffffffffff0161', FRAME_ENCODING_ERROR],
    ['CRYPTO beyond 2^62 - 1 (§19.6)', '06ffffffffffffffff0161', FRAME_ENCODING_ERROR],
    ['MAX_STREAMS of 2^60 + 1 (§19.11)', '12d000000000000001', FRAME_ENCODING_ERROR],
    ['STREAMS_BLOCKED of 2^60 + 1 (§19.14)', '17d000000000000001', FRAME_ENCODING_ERROR],
    [
      'Retire Prior To above the sequence number (§19.15)',
      `18010204${'00'.repeat(20)}`,
      FRAME_ENCODING_ERROR,
    ],
    ['NEW_CONNECTION_ID with an empty CID (§19.15)', `18010000${'00'.repeat(16)}`, FRAME_ENCODING_ERROR],
    [
      'NEW_CONNECTION_ID with a CID of 21 octets (§19.15)',
      `18010015${'00'.repeat(37)}`,
      FRAME_ENCODING_ERROR,
    ],
    [
      'a sequence number out of all proportion (§5.1.1)',
      `18ffffffffffffffff0001${'00'.repeat(17)}`,
      PROTOCOL_VIOLATION,
    ],
  ])('refuses %s', (_what, text, code) => {
    expect(() => decode(text)).toThrowError(expect.objectContaining({ name: 'TransportError', code }));
  });

  it('takes MAX_STREAMS of 2^60 exactly, clamped to what a number holds', () => {
    expect(decode('12d000000000000000').frames).toEqual([
      { type: 'maxStreams', bidirectional: true, maximum: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('takes limits and codes up to 2^62 - 1, clamped so that they can be echoed', () => {
    expect(decode('10ffffffffffffffff').frames).toEqual([
      { type: 'maxData', maximum: Number.MAX_SAFE_INTEGER },
    ]);
    expect(decode('0504ffffffffffffffff').frames).toEqual([
      { type: 'stopSending', streamId: 4, code: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('lets the last STREAM and DATAGRAM take the rest of the packet', () => {
    const writer = Writer.growing();
    writer.u8(1);
    writer.bytes(hex('09040102'));
    expect(decodeFrames(writer.finish(), 'oneRtt', 'client').frames[1]).toEqual({
      type: 'stream',
      streamId: 4,
      offset: 0,
      data: hex('0102'),
      fin: true,
    });
    writer.offset = 0;
    writeDatagram(writer, hex('0304'), true);
    expect(decodeFrames(writer.finish(), 'oneRtt', 'client').frames).toEqual([
      { type: 'datagram', data: hex('0304'), frameOctets: 3 },
    ]);
  });

  it('shows a close reason that is not UTF-8 with replacement characters (§19.19)', () => {
    expect(decode('1d0502ff41').frames).toEqual([
      { type: 'connectionClose', application: true, code: 5, frameType: 0, reason: '\ufffdA' },
    ]);
  });

  it('cuts a close reason that does not fit between characters', () => {
    for (let room = 5; room < 20; room++) {
      const writer = Writer.growing();
      const reason = 'äöü€'.repeat(4);
      writeConnectionClose(writer, { application: false, code: 1, frameType: 0, reason }, room);
      expect(writer.offset).toBeLessThanOrEqual(room);
      const [close] = decodeFrames(writer.finish(), 'oneRtt', 'client').frames;
      expect(close?.type === 'connectionClose' && reason.startsWith(close.reason)).toBe(true);
    }
  });
});

describe('ACK frames that must fit (RFC 9000 §13.2.3)', () => {
  it('keep the ranges of the largest numbers', () => {
    fc.assert(
      fc.property(ackRanges, fc.nat(2000), ecn, fc.nat(60), (ranges, delay, counts, room) => {
        const writer = new Writer(new Uint8Array(room));
        const written = writeAck(writer, ranges, delay, counts);
        if (written === 0) {
          expect(writer.offset).toBe(0);
          return;
        }
        expect(decodeFrames(writer.finish(), 'oneRtt', 'client').frames).toEqual([
          { type: 'ack', ranges: ranges.slice(0, written), delay, ecn: counts },
        ]);
      }),
      { numRuns: 500 },
    );
  });
});

describe('which packets a frame may come in (RFC 9000 §12.4, Table 3)', () => {
  const packets: readonly (readonly [string, FramePacketType])[] = [
    ['I', 'initial'],
    ['H', 'handshake'],
    ['0', 'zeroRtt'],
    ['1', 'oneRtt'],
  ];
  const cid = `180100010a${'00'.repeat(16)}`;
  it.each([
    ['PADDING', '00', 'IH01', '-p'],
    ['PING', '01', 'IH01', 'a-'],
    ['ACK', '0200000000', 'IH_1', '--'],
    ['ACK with ECN', '0300000000000000', 'IH_1', '--'],
    ['RESET_STREAM', '04000000', '__01', 'a-'],
    ['STOP_SENDING', '050000', '__01', 'a-'],
    ['CRYPTO', '060000', 'IH_1', 'a-'],
    ['NEW_TOKEN', '070161', '___1', 'a-'],
    ['STREAM', '0a0000', '__01', 'a-'],
    ['MAX_DATA', '1000', '__01', 'a-'],
    ['MAX_STREAM_DATA', '110000', '__01', 'a-'],
    ['MAX_STREAMS (bidirectional)', '1200', '__01', 'a-'],
    ['MAX_STREAMS (unidirectional)', '1300', '__01', 'a-'],
    ['DATA_BLOCKED', '1400', '__01', 'a-'],
    ['STREAM_DATA_BLOCKED', '150000', '__01', 'a-'],
    ['STREAMS_BLOCKED (bidirectional)', '1600', '__01', 'a-'],
    ['STREAMS_BLOCKED (unidirectional)', '1700', '__01', 'a-'],
    ['NEW_CONNECTION_ID', cid, '__01', 'ap'],
    ['RETIRE_CONNECTION_ID', '1900', '___1', 'a-'],
    ['PATH_CHALLENGE', '1a0000000000000000', '__01', 'ap'],
    ['PATH_RESPONSE', '1b0000000000000000', '___1', 'ap'],
    ['CONNECTION_CLOSE (transport)', '1c000000', 'IH01', '--'],
    ['CONNECTION_CLOSE (application)', '1d0000', '__01', '--'],
    ['HANDSHAKE_DONE', '1e', '___1', 'a-'],
    ['DATAGRAM', '30', '__01', 'a-'],
    ['DATAGRAM with a length', '3100', '__01', 'a-'],
  ])('%s', (_name, text, allowed, marks) => {
    for (const [letter, packet] of packets) {
      if (allowed.includes(letter)) {
        const decoded = decode(text, packet);
        expect(decoded.ackEliciting).toBe(marks.includes('a'));
        expect(decoded.probing).toBe(marks.includes('p'));
      } else
        expect(() => decode(text, packet)).toThrowError(
          expect.objectContaining({ code: PROTOCOL_VIOLATION, frameType: hex(text)[0] }),
        );
    }
  });

  it('lets only a server send NEW_TOKEN and HANDSHAKE_DONE (§19.7, §19.20)', () => {
    for (const text of ['070161', '1e']) {
      expect(decode(text, 'oneRtt', 'server').frames).toHaveLength(1);
      expect(() => decode(text, 'oneRtt', 'client')).toThrowError(
        expect.objectContaining({ code: PROTOCOL_VIOLATION }),
      );
    }
  });

  it('knows no type that is not in the table', () => {
    for (const type of [0x20, 0x2f, 0x32, 0x3f, 0x40, 0xae, 0xb0, 2 ** 40])
      expect(frameRule(type)).toBeUndefined();
  });

  it('is not probing when one other frame is there (§9.1)', () => {
    expect(decode('1a0000000000000000' + '0000').probing).toBe(true);
    expect(decode('1a0000000000000000' + '01').probing).toBe(false);
  });
});
