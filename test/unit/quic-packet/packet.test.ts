import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isReservedVersion } from '../../../proto/invariants/index.ts';
import {
  buildRetry,
  buildStatelessReset,
  buildVersionNegotiation,
  decodePacketNumber,
  finishPacket,
  isStatelessReset,
  type LongHeaderFields,
  longHeaderOctets,
  packetNumberLength,
  parsePacket,
  statelessResetToken,
  TokenCodec,
  verifyRetry,
  writeLongHeader,
  writeShortHeader,
} from '../../../proto/quic/packet/index.ts';
import { concat, fromHex, toHex, Writer } from '../../../proto/wire/index.ts';

const load = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'));
const samples = load('rfc9000-samples.json');
const { retry } = load('rfc9001-appendix-a.json');
const hex = (text: string): Uint8Array => fromHex(text)!;
const random = (length: number) => new Uint8Array(length).fill(0xab);
const plainSealer = { seal: (_b: Uint8Array, _s: number, _a: number, _l: number, end: number) => end + 16 };
const cid = fc.uint8Array({ maxLength: 20 });

describe('packet numbers (RFC 9000 §17.1, Appendix A.2 and Appendix A.3)', () => {
  it.each([...samples.packetNumberEncode, ...samples.constructed.packetNumberEncode])(
    'encodes $fullPn in $octets octets',
    (sample) => {
      const largest = sample.largestAcked === null ? undefined : Number(sample.largestAcked);
      expect(packetNumberLength(Number(sample.fullPn), largest)).toBe(sample.octets);
    },
  );

  const exact = [...samples.packetNumberDecode, ...samples.constructed.packetNumberDecode].filter((sample) =>
    Number.isSafeInteger(Number(sample.largestPn)),
  );
  it.each(exact)('decodes $truncatedPn after $largestPn as $decoded', (sample) => {
    const truncated = Number.parseInt(sample.truncatedPn, 16);
    expect(decodePacketNumber(Number(sample.largestPn) + 1, truncated, sample.bits / 8)).toBe(
      Number(sample.decoded),
    );
  });

  it('decodes what it encoded, for a receiver anywhere between the acknowledged number and this one', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 31 - 1),
        fc.nat(2 ** 22),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (acked, ahead, part) => {
          const packetNumber = acked + 1 + ahead;
          const octets = packetNumberLength(packetNumber, acked);
          const received = acked + Math.floor(ahead * part);
          expect(decodePacketNumber(received + 1, packetNumber % 2 ** (8 * octets), octets)).toBe(
            packetNumber,
          );
        },
      ),
    );
  });
});

describe('headers (RFC 9000 §17)', () => {
  it('round-trips long headers, coalesced', () => {
    const fields = fc.record({
      type: fc.constantFrom('initial' as const, 'zeroRtt' as const, 'handshake' as const),
      destinationConnectionId: cid,
      sourceConnectionId: cid,
      token: fc.uint8Array({ maxLength: 100 }),
    });
    fc.assert(
      fc.property(fc.array(fields, { minLength: 1, maxLength: 4 }), fc.nat(60), (list, payload) => {
        const writer = new Writer(new Uint8Array(4000));
        for (const one of list) {
          const start = writer.offset;
          const at = writeLongHeader(writer, one, 7, 2);
          expect(writer.offset - start).toBe(longHeaderOctets(one, 2));
          writer.zeros(payload);
          finishPacket(writer, plainSealer, start, at, 2, 7);
        }
        let start = 0;
        for (const one of list) {
          const packet = parsePacket(writer.finish(), start, 8);
          expect(packet).toMatchObject({
            type: one.type,
            start,
            destinationConnectionId: one.destinationConnectionId,
            sourceConnectionId: one.sourceConnectionId,
            token: one.type === 'initial' ? one.token : new Uint8Array(0),
          });
          if (!('end' in packet)) throw new Error('dropped');
          start = packet.end;
        }
        expect(start).toBe(writer.offset);
      }),
    );
  });

  it('pads a packet that is too short for its sample (RFC 9001 §5.4.2)', () => {
    const writer = new Writer(new Uint8Array(100));
    const fields: LongHeaderFields = {
      type: 'handshake',
      destinationConnectionId: random(8),
      sourceConnectionId: random(8),
    };
    const at = writeLongHeader(writer, fields, 1, 1);
    writer.u8(1);
    finishPacket(writer, plainSealer, 0, at, 1, 1);
    expect(writer.offset - at).toBe(4 + 16);
  });

  it('finds the CID of a short header by the length of our own', () => {
    const writer = new Writer(new Uint8Array(100));
    writeShortHeader(writer, hex('0102030405'), 1, 0x1234, 2);
    const packet = parsePacket(writer.finish(), 0, 5);
    expect(packet).toMatchObject({
      type: 'oneRtt',
      destinationConnectionId: hex('0102030405'),
      packetNumberAt: 6,
    });
    expect(toHex(writer.finish())).toBe('4501020304051234');
  });

  it('drops a zero Fixed Bit unless grease_quic_bit was offered (RFC 9287 §3)', () => {
    const short = hex('000102030405060708');
    expect(parsePacket(short, 0, 4)).toEqual({ type: 'drop', reason: 'fixed-bit' });
    expect(parsePacket(short, 0, 4, true).type).toBe('oneRtt');
  });

  it('drops a CID over 20 octets in version 1 and shows it in another version (RFC 9000 §17.2)', () => {
    const long = (version: string) =>
      concat([hex(`c0${version}15`), new Uint8Array(21), hex('00'), new Uint8Array(30)]);
    expect(parsePacket(long('00000001'), 0, 8)).toEqual({ type: 'drop', reason: 'connection-id-length' });
    expect(parsePacket(long('1a2a3a4a'), 0, 8)).toMatchObject({
      type: 'unknownVersion',
      version: 0x1a2a3a4a,
      destinationConnectionId: new Uint8Array(21),
    });
  });

  it('never throws, whatever the octets', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 80 }),
        fc.nat(90),
        fc.nat(20),
        fc.boolean(),
        (data, start, length, grease) => {
          const packet = parsePacket(data, start, length, grease);
          if (packet.type !== 'drop') expect(packet.end).toBeLessThanOrEqual(data.length);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('never throws for damaged version 1 headers', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0x80, max: 0xff }), (tail, first) => {
        const packet = parsePacket(concat([Uint8Array.of(first, 0, 0, 0, 1), tail]), 0, 8);
        if (packet.type !== 'drop') expect(packet.end).toBeLessThanOrEqual(5 + tail.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('Version Negotiation (RFC 9000 §17.2.1)', () => {
  it('swaps the CIDs, of any length, and offers one reserved version beside ours', () => {
    const received = { destinationConnectionId: random(30), sourceConnectionId: hex('0102') };
    const packet = buildVersionNegotiation(received, [1], hex('ff13375bdf'));
    expect(parsePacket(packet, 0, 8)).toMatchObject({
      type: 'versionNegotiation',
      destinationConnectionId: received.sourceConnectionId,
      sourceConnectionId: received.destinationConnectionId,
      versions: [0x1a3a5ada, 1],
    });
    expect(isReservedVersion(0x1a3a5ada)).toBe(true);
    expect(isReservedVersion(0xfafafafa)).toBe(true);
    expect(isReservedVersion(1)).toBe(false);
  });

  it('drops a list that is empty or not whole', () => {
    for (const tail of ['', '000000', '0000000100'])
      expect(parsePacket(hex(`c0000000000000${tail}`), 0, 8)).toEqual({
        type: 'drop',
        reason: 'version-list',
      });
  });
});

describe('Retry (RFC 9000 §17.2.5, RFC 9001 §5.8)', () => {
  const original = hex(retry.originalDestinationConnectionId);

  it('builds and verifies the packet of Appendix A.4', () => {
    const fields = {
      originalDestinationConnectionId: original,
      destinationConnectionId: hex(retry.destinationConnectionId),
      sourceConnectionId: hex(retry.sourceConnectionId),
      token: hex(retry.token),
    };
    const packet = buildRetry(fields, 0x0f);
    expect(toHex(packet)).toBe(retry.packet);
    expect(verifyRetry(packet, original)).toBe(true);
    expect(parsePacket(packet, 0, 8)).toMatchObject({ type: 'retry', token: fields.token });
  });

  it('refuses any changed octet, another original CID and fragments', () => {
    const packet = hex(retry.packet);
    for (let i = 0; i < packet.length; i++) {
      const bad = packet.slice();
      bad[i]! ^= 0x80;
      expect(verifyRetry(bad, original)).toBe(false);
      expect(verifyRetry(packet.subarray(0, i), original)).toBe(false);
    }
    expect(verifyRetry(packet, hex('8394c8f03e515709'))).toBe(false);
  });
});

describe('address validation tokens (RFC 9000 §8.1)', () => {
  const codec = new TokenCodec(new Uint8Array(32).fill(5), random);
  const client = { host: '192.0.2.7', port: 4000 };
  const age = { retry: 10_000, newToken: 86_400_000 };
  const cids = {
    originalDestinationConnectionId: random(8),
    retrySourceConnectionId: random(17),
    steered: true,
  };

  it('gives back the CIDs of a Retry, to the same address and in time', () => {
    const token = codec.sealRetry(cids, client, 1_800_000_000_000.5);
    expect(codec.open(token, client, 1_800_000_000_000.5, age)).toEqual({ kind: 'retry', ...cids });
    expect(codec.open(token, client, 1_800_000_010_001.5, age)).toBeUndefined();
    // Another host's clock may be 5 s behind the one that dated it.
    expect(codec.open(token, client, 1_799_999_995_001, age)).toEqual({ kind: 'retry', ...cids });
    expect(codec.open(token, client, 1_799_999_994_999, age)).toBeUndefined();
    expect(codec.open(token, { ...client, port: 4001 }, 1_800_000_000_001, age)).toBeUndefined();
    expect(codec.open(token, { ...client, host: '192.0.2.8' }, 1_800_000_000_001, age)).toBeUndefined();
  });

  it('takes a NEW_TOKEN token from any port of its host', () => {
    const token = codec.sealNewToken(client, 1000);
    expect(codec.open(token, { ...client, port: 9 }, 2000, age)).toEqual({ kind: 'newToken' });
    expect(codec.open(token, { ...client, host: '::1' }, 2000, age)).toBeUndefined();
  });

  it('refuses a changed token, another key and arbitrary octets, without throwing', () => {
    const token = codec.sealRetry(cids, client, 1000);
    for (let i = 0; i < token.length; i++) {
      const bad = token.slice();
      bad[i]! ^= 1;
      expect(codec.open(bad, client, 1000, age)).toBeUndefined();
    }
    const other = new TokenCodec(new Uint8Array(32).fill(6), random);
    expect(other.open(token, client, 1000, age)).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
        expect(codec.open(data, client, 1000, age)).toBeUndefined();
      }),
    );
  });
});

describe('stateless reset (RFC 9000 §10.3)', () => {
  const key = new Uint8Array(32).fill(9);
  const token = statelessResetToken(key, hex('0102030405060708'));

  it('derives one token per CID and key', () => {
    expect(token).toHaveLength(16);
    expect(statelessResetToken(key, hex('0102030405060708'))).toEqual(token);
    expect(statelessResetToken(key, hex('0102030405060709'))).not.toEqual(token);
    expect(statelessResetToken(new Uint8Array(32), hex('0102030405060708'))).not.toEqual(token);
  });

  it('is always smaller than what it answers, and not sent when that leaves no room (§10.3.3)', () => {
    for (let trigger = 0; trigger < 60; trigger++) {
      const reset = buildStatelessReset(token, trigger, random);
      if (trigger < 22) expect(reset).toBeUndefined();
      else {
        expect(reset!.length).toBeLessThan(trigger);
        expect(reset!.length).toBeGreaterThanOrEqual(21);
        expect(reset![0]! & 0xc0).toBe(0x40);
      }
    }
  });

  it('is recognised by its last 16 octets', () => {
    const reset = buildStatelessReset(token, 100, random)!;
    expect(isStatelessReset(reset, token)).toBe(true);
    expect(isStatelessReset(reset, new Uint8Array(16))).toBe(false);
    expect(isStatelessReset(reset, token.subarray(1))).toBe(false);
    expect(isStatelessReset(reset.subarray(0, reset.length - 1), token)).toBe(false);
    expect(isStatelessReset(token, token)).toBe(false);
  });
});
