import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CapsuleParser, encodeCapsule } from '../../proto/http3/capsules.ts';
import {
  encodeFieldSection,
  huffmanDecode,
  huffmanEncode,
  QpackDecoder,
} from '../../proto/http3/qpack/index.ts';
import { decodeSettings, encodeSettings } from '../../proto/http3/settings.ts';
import { encodeVersionNegotiation, parseVersionNegotiation } from '../../proto/invariants/index.ts';
import { decodeFrames, type Frame } from '../../proto/quic/frames/index.ts';
import { parsePacket, TokenCodec, writeLongHeader } from '../../proto/quic/packet/index.ts';
import {
  decodeTransportParameters,
  encodeTransportParameters,
} from '../../proto/quic/transport-parameters.ts';
import {
  connectionIdLength,
  decodeServerId,
  encodeConnectionId,
  QuicLbDecoder,
} from '../../proto/quic-lb/index.ts';
import { decodeSpp, encodeSpp } from '../../proto/spp/index.ts';
import { MessageBuffer } from '../../proto/tls/codec.ts';
import {
  readCertificate,
  readClientHello,
  writeCertificate,
  writeClientHello,
} from '../../proto/tls/messages.ts';
import { encodeMessage, MessageDecoder } from '../../proto/voice/index.ts';
import { decodeClose, encodeClose } from '../../proto/webtransport/close-capsule.ts';
import { formatIp, parseIp, Reader, Writer } from '../../proto/wire/index.ts';
import { seededRandom } from '../support/quic-fixtures.ts';
import { writeFrame } from '../support/write-frame.ts';
import { anyFrame } from './support/hostile-frames.ts';
import { Tape } from './support/tape.ts';

const varints = fc.oneof(fc.nat(0x4100), fc.nat(), fc.maxSafeNat());
const octets = (maxLength: number, minLength = 0) => fc.uint8Array({ minLength, maxLength });
const hosts = fc.oneof(fc.ipV4(), octets(16, 16).map(formatIp));
const ports = fc.nat(0xffff);
const latin1 = fc.string({ unit: fc.nat(0xff).map((code) => String.fromCharCode(code)), maxLength: 60 });

const holds = <T>(arbitrary: fc.Arbitrary<T>, predicate: (value: T) => void): void => {
  fc.assert(fc.property(arbitrary, predicate), { numRuns: 200 });
};

describe('what is written is read as it was', () => {
  test('varints, in every length that they fit (RFC 9000 §16)', () => {
    holds(varints, (value) => {
      for (const length of [1, 2, 4, 8] as const) {
        if (value >= 2 ** (8 * length - 2)) continue;
        const written = new Writer(new Uint8Array(8)).varint(value, length).finish();
        expect(new Reader(written).varint()).toBe(value);
      }
    });
  });

  test('IP addresses (RFC 5952)', () => {
    holds(octets(16, 16), (address) => {
      expect(parseIp(formatIp(address))).toEqual(address);
    });
  });

  test('frames (RFC 9000 §19)', () => {
    holds(octets(200, 40), (decisions) => {
      const frame = anyFrame(new Tape(decisions));
      const writer = Writer.growing(256);
      writeFrame(writer, frame);
      const first = writer.finish().slice();
      let frames: readonly Frame[];
      try {
        frames = decodeFrames(first, 'oneRtt', 'server').frames;
      } catch {
        // Fields that no peer may send, such as a final size beyond what a stream can have.
        return;
      }
      const again = Writer.growing(256);
      for (const read of frames) writeFrame(again, read);
      expect(again.finish()).toEqual(first);
    });
  });

  test('transport parameters (RFC 9000 §18)', () => {
    holds(
      fc.tuple(octets(20), octets(20), varints, varints, fc.nat(20)),
      ([source, original, data, idle, exponent]) => {
        const given = {
          initialSourceConnectionId: source,
          originalDestinationConnectionId: original,
          initialMaxData: data,
          maxIdleTimeoutMs: idle,
          ackDelayExponent: exponent,
        };
        expect(decodeTransportParameters(encodeTransportParameters(given), 'server')).toMatchObject(given);
      },
    );
  });

  test('long headers (RFC 9000 §17.2)', () => {
    holds(
      fc.tuple(octets(20), octets(20), octets(80), fc.nat(0xffff_ffff)),
      ([destination, source, token, number]) => {
        const writer = new Writer(new Uint8Array(300));
        const fields = {
          type: 'initial' as const,
          destinationConnectionId: destination,
          sourceConnectionId: source,
          token,
        };
        const at = writeLongHeader(writer, fields, number, 4);
        const packet = parsePacket(writer.finish(), 0, 8);
        expect(packet).toMatchObject({ ...fields, packetNumberAt: at });
      },
    );
  });

  test('address tokens, for the address that they were given to and no other (RFC 9000 §8.1.4)', () => {
    const codec = new TokenCodec(new Uint8Array(32), seededRandom(1));
    holds(
      fc.tuple(octets(20), octets(20), hosts, ports, fc.boolean()),
      ([original, source, host, port, steered]) => {
        const ids = { originalDestinationConnectionId: original, retrySourceConnectionId: source, steered };
        const token = codec.sealRetry(ids, { host, port }, 5);
        const ages = { retry: 10, newToken: 0 };
        expect(codec.open(token, { host, port }, 6, ages)).toEqual({ kind: 'retry', ...ids });
        expect(codec.open(token, { host, port: port ^ 1 }, 6, ages)).toBeUndefined();
      },
    );
  });

  test('server IDs in CIDs of every layout (draft-ietf-quic-load-balancers)', () => {
    const layouts = fc.record({
      configRotation: fc.nat(6),
      serverIdLength: fc.integer({ min: 1, max: 15 }),
      nonceLength: fc.integer({ min: 4, max: 18 }),
      key: fc.option(octets(16, 16), { nil: undefined }),
      firstOctetEncodesLength: fc.boolean(),
    });
    holds(fc.tuple(layouts, octets(40, 40)), ([{ key, ...rest }, random]) => {
      const config = key === undefined ? rest : { ...rest, key };
      if (config.serverIdLength + config.nonceLength > 19) return;
      const serverId = random.slice(0, config.serverIdLength);
      const nonce = random.slice(20, 20 + config.nonceLength);
      const id = encodeConnectionId(config, serverId, nonce, random[19]);
      expect(id.length).toBe(connectionIdLength(config));
      expect(decodeServerId(config, id)).toEqual(serverId);
      const decoder = new QuicLbDecoder([config], [new Map([[config.configRotation, serverId]])]);
      expect(decoder.decode(id, 0, id.length, true)).toBe(0);
    });
  });

  test('SPP headers', () => {
    holds(
      fc.tuple(hosts, ports, hosts, ports, octets(50)),
      ([clientHost, clientPort, proxyHost, proxyPort, payload]) => {
        const header = { clientHost, clientPort, proxyHost, proxyPort };
        expect(decodeSpp(encodeSpp(header, payload))).toEqual({ header, payload });
      },
    );
  });

  test('Version Negotiation (RFC 8999 §6)', () => {
    const versions = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 20 });
    holds(fc.tuple(octets(255), octets(255), versions), ([destination, source, list]) => {
      const packet = { destinationConnectionId: destination, sourceConnectionId: source, versions: list };
      expect(parseVersionNegotiation(encodeVersionNegotiation(packet))).toEqual(packet);
    });
  });

  test('a ClientHello and a chain of certificates (RFC 8446 §4)', () => {
    const suites = fc.array(fc.nat(0xffff), { minLength: 1, maxLength: 30 });
    const chains = fc.array(octets(300, 1), { minLength: 1, maxLength: 16 });
    holds(fc.tuple(octets(32, 32), suites, chains), ([random, cipherSuites, chain]) => {
      const buffer = new MessageBuffer();
      buffer.append(writeClientHello(random, cipherSuites, (writer) => writer.u16(0x1234).u16(0)));
      buffer.append(writeCertificate(new Uint8Array(0), chain));
      expect(readClientHello(buffer.next()!)).toMatchObject({ random, cipherSuites });
      expect(readCertificate(buffer.next()!)).toEqual(chain);
    });
  });

  test('field sections and Huffman codes (RFC 9204 §4.5, RFC 7541 §5.2)', () => {
    holds(fc.array(fc.tuple(latin1, latin1), { maxLength: 12 }), (fields) => {
      const section = encodeFieldSection(fields);
      expect(new QpackDecoder(0).decode(0, section, 65_536)).toMatchObject({ kind: 'fields', fields });
      for (const [name] of fields) expect(huffmanDecode(huffmanEncode(name))).toBe(name);
    });
  });

  test('SETTINGS (RFC 9114 §7.2.4)', () => {
    const entries = fc.array(fc.tuple(fc.integer({ min: 0x100, max: 0xffff }), varints), { maxLength: 12 });
    holds(entries, (list) => {
      const settings = new Map(list);
      const read = new Map(decodeSettings(encodeSettings(settings)));
      for (const [id, value] of settings) expect(read.get(id)).toBe(value);
    });
  });

  test('capsules in any pieces (RFC 9297 §3.2)', () => {
    const capsules = fc.array(fc.tuple(varints, octets(80)), { maxLength: 6 });
    holds(fc.tuple(capsules, fc.integer({ min: 1, max: 40 })), ([list, step]) => {
      const all = Buffer.concat(list.map(([type, value]) => encodeCapsule(type, value)));
      const parser = new CapsuleParser(() => 80);
      const read: unknown[] = [];
      for (let at = 0; at < all.length; at += step)
        for (const { type, value } of parser.push(new Uint8Array(all.subarray(at, at + step))))
          read.push([type, value.slice()]);
      expect(read).toEqual(list);
      expect(parser.atBoundary).toBe(true);
    });
  });

  test('the close of a session, its reason cut between characters', () => {
    holds(
      fc.tuple(fc.nat(0xffff_ffff), fc.string({ unit: 'grapheme', maxLength: 500 })),
      ([code, reason]) => {
        const [capsule] = new CapsuleParser(() => 1028).push(encodeClose(code, reason));
        const close = decodeClose(capsule!.value)!;
        expect(close.code).toBe(code);
        expect(reason.startsWith(close.reason)).toBe(true);
        if (Buffer.byteLength(reason) <= 1024) expect(close.reason).toBe(reason);
      },
    );
  });

  test('voice messages in any pieces', () => {
    const messages = fc.array(
      fc
        .tuple(fc.string({ minLength: 1, maxLength: 256 }), fc.jsonValue())
        .map(([type, value]) => ({ type, value })),
      { maxLength: 5 },
    );
    holds(fc.tuple(messages, fc.integer({ min: 1, max: 60 })), ([list, step]) => {
      const all = Buffer.concat(list.map(encodeMessage));
      const decoder = new MessageDecoder();
      const read: unknown[] = [];
      for (let at = 0; at < all.length; at += step) {
        decoder.push(new Uint8Array(all.subarray(at, at + step)));
        for (let message = decoder.next(); message !== undefined; message = decoder.next())
          read.push(message);
      }
      expect(read).toEqual(JSON.parse(JSON.stringify(list)));
      expect(decoder.bufferedOctets).toBe(0);
    });
  });
});
