import { describe, expect, test, vi } from 'vitest';
import { CapsuleParser } from '../../../proto/http3/capsules.ts';
import { encodeCapsule, encodeFrame, Http3Connection } from '../../../proto/http3/index.ts';
import { encodeFieldSection, QpackDecoder } from '../../../proto/http3/qpack/index.ts';
import { encodeMessage, MessageDecoder, MicrophoneHeaderDecoder } from '../../../proto/voice/index.ts';
import { WebTransportConnection } from '../../../proto/webtransport/index.ts';
import { concat, Writer } from '../../../proto/wire/index.ts';
import { FedQuic } from '../../support/fed-quic.ts';
import { expectLinear, MIB, repeated } from './support.ts';

/** The slowest takes about 4 s on a machine of its own. */
vi.setConfig({ testTimeout: 60_000 });

const POST = encodeFrame(
  1,
  encodeFieldSection([
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', 'a'],
    [':path', '/'],
  ]),
);
const CONNECT = encodeFrame(
  1,
  encodeFieldSection([
    [':method', 'CONNECT'],
    [':protocol', 'webtransport'],
    [':scheme', 'https'],
    [':authority', 'a'],
    [':path', '/voice'],
  ]),
);
const SETTINGS = Uint8Array.of(0, 4, 2, 0x33, 1);
const ONE_OCTET_DATA = [0, 1, 0x61];

function drain(connection: { poll(): unknown }): number {
  let events = 0;
  while (connection.poll() !== undefined) events++;
  return events;
}

/** A server's HTTP/3 connection that has one stream with all of `data`. */
function http3With(streamId: number, data: Uint8Array): { quic: FedQuic; http3: Http3Connection } {
  const quic = new FedQuic();
  const http3 = new Http3Connection(quic, { signals: { bidirectional: 0x41, unidirectional: 0x54 } });
  const direction = streamId % 4 === 0 ? 'bidirectional' : 'unidirectional';
  http3.handleEvent({ type: 'streamOpened', streamId, direction });
  quic.feed(streamId, data);
  return { quic, http3 };
}

function readHttp3(streamId: number, data: Uint8Array): () => void {
  const { quic, http3 } = http3With(streamId, data);
  return () => {
    http3.handleEvent({ type: 'streamReadable', streamId });
    drain(http3);
    expect(quic.closedWith).toBeUndefined();
    expect(quic.octetsRead).toBe(data.length);
  };
}

/** A server's WebTransport connection with an open session on stream 0. */
function openSession(): { quic: FedQuic; connection: WebTransportConnection } {
  const quic = new FedQuic();
  const connection = new WebTransportConnection(quic);
  connection.handleEvent({ type: 'writable' });
  arrive(quic, connection, 2, SETTINGS);
  arrive(quic, connection, 0, CONNECT);
  drain(connection);
  if (!connection.acceptSession(0)) throw new Error('no session');
  return { quic, connection };
}

function arrive(
  quic: FedQuic,
  connection: WebTransportConnection,
  streamId: number,
  data: Uint8Array,
  fin = false,
): void {
  quic.feed(streamId, data, fin);
  const direction = streamId % 4 === 0 ? 'bidirectional' : 'unidirectional';
  connection.handleEvent({ type: 'streamOpened', streamId, direction });
  connection.handleEvent({ type: 'streamReadable', streamId });
}

describe('HTTP/3', () => {
  test.each([
    ['DATA of one octet', ONE_OCTET_DATA],
    ['DATA of none', [0, 0]],
    ['unknown frames', [0x21, 0]],
  ])('a request stream of %s', (_name, frame) => {
    expectLinear((octets) => readHttp3(0, concat([POST, repeated(octets, frame)])));
  });

  test.each([
    ['GOAWAY', [7, 1, 0]],
    ['MAX_PUSH_ID', [0x0d, 1, 0]],
    ['unknown frames', [0x21, 0]],
  ])('a control stream of %s', (_name, frame) => {
    expectLinear((octets) => readHttp3(2, concat([SETTINGS, repeated(octets, frame)])));
  });

  test('a QPACK decoder stream of cancellations', () => {
    expectLinear((octets) => readHttp3(2, concat([Uint8Array.of(3), repeated(octets, [0x40])])));
  });

  test('datagrams of one octet', () => {
    expectLinear((octets) => {
      const quic = new FedQuic();
      const http3 = new Http3Connection(quic);
      const data = Uint8Array.of(0);
      return () => {
        // QUIC queues 1024 at most; each takes two octets at least.
        for (let i = 0; i < octets / 2; i += 1024) {
          for (let k = 0; k < 1024; k++) http3.handleEvent({ type: 'datagram', data });
          expect(drain(http3)).toBe(1024);
        }
      };
    });
  });

  test('while events wait, no stream is read on', () => {
    const { quic, http3 } = http3With(0, concat([POST, repeated(MIB, ONE_OCTET_DATA)]));
    http3.handleEvent({ type: 'streamReadable', streamId: 0 });
    expect(quic.octetsRead).toBeLessThan(32_768);
    expect(http3.poll()?.type).toBe('request');
    expect(http3.poll()?.type).toBe('data');
    expect(quic.octetsRead).toBeLessThan(32_768);
    const event = http3.poll();
    expect(event?.type === 'data' && event.data.length).toBeGreaterThan(5000);
    expect(quic.octetsRead).toBeLessThan(49_152);
  });
});

describe('QPACK', () => {
  test('a section of indexed lines', () => {
    expectLinear((octets) => {
      const section = repeated(octets, [0xd1]);
      section.set([0, 0]);
      return () => {
        const decoded = new QpackDecoder(0).decode(0, section, Number.POSITIVE_INFINITY);
        expect(decoded.kind).toBe('fields');
      };
    });
  });

  test('a section that is one Huffman-coded string', () => {
    expectLinear((octets) => {
      const writer = Writer.growing(octets + 16);
      writer.bytes(Uint8Array.of(0, 0, 0x51));
      // The length, in the 7 bits behind the flag and on (RFC 9204 §4.1.1).
      writer.u8(0xff);
      let rest = octets - 127;
      while (rest >= 128) {
        writer.u8((rest % 128) | 0x80);
        rest = Math.floor(rest / 128);
      }
      writer.u8(rest).bytes(repeated(octets, [0x18, 0xc6, 0x31, 0x8c, 0x63]).subarray(0, octets));
      const section = concat([writer.finish(), new Uint8Array(octets % 5).fill(0xff)]);
      return () => {
        try {
          new QpackDecoder(0).decode(0, section, Number.POSITIVE_INFINITY);
        } catch {
          // Padding may be wrong; the string was read.
        }
      };
    });
  });

  test('an encoder stream of entries that push each other out', () => {
    expectLinear((octets) => {
      const capacity = Uint8Array.of(0x3f, 0xe1, 0xff, 0x03); // 65 536
      // Insert with a static name and an empty value (RFC 9204 §4.3.2).
      const inserts = repeated(octets, [0xc1, 0x00]);
      return () => {
        const decoder = new QpackDecoder(65_536);
        decoder.encoderOctets(capacity);
        for (let at = 0; at < inserts.length; at += 4096)
          decoder.encoderOctets(inserts.subarray(at, at + 4096));
        expect(decoder.insertCount).toBe(inserts.length / 2);
      };
    });
  });
});

describe('WebTransport', () => {
  test.each([
    ['empty datagram capsules', encodeCapsule(0, new Uint8Array(0))],
    ['unknown capsules', Uint8Array.of(0x21, 0)],
  ])('%s, parsed', (_name, capsule) => {
    expectLinear((octets) => {
      const data = repeated(octets, capsule);
      return () => {
        const parser = new CapsuleParser((type) => (type === 0 ? 65_535 : undefined));
        for (let at = 0; at < data.length; at += 4096) parser.push(data.subarray(at, at + 4096));
        expect(parser.atBoundary).toBe(true);
      };
    });
  });

  test.each([
    ['one DATA frame for each', false],
    ['all in one DATA frame', true],
  ])('empty capsules on an open session, %s', (_name, joined) => {
    const capsule = encodeCapsule(0, new Uint8Array(0));
    expectLinear((octets) => {
      const { quic, connection } = openSession();
      const data = joined
        ? encodeFrame(0, repeated(octets, capsule))
        : repeated(octets, encodeFrame(0, capsule));
      return () => {
        quic.feed(0, data);
        connection.handleEvent({ type: 'streamReadable', streamId: 0 });
        expect(drain(connection)).toBeGreaterThan(octets / 8);
        expect(quic.closedWith).toBeUndefined();
      };
    });
  });

  test('a body of one-octet frames ends with 413 after its bound, the rest unread', () => {
    const quic = new FedQuic();
    const connection = new WebTransportConnection(quic);
    connection.handleEvent({ type: 'writable' });
    arrive(quic, connection, 0, concat([POST, repeated(MIB, ONE_OCTET_DATA)]), true);
    drain(connection);
    expect(quic.octetsRead).toBeGreaterThan(3 * 65_536);
    expect(quic.octetsRead).toBeLessThan(3 * 65_536 + 3 * 16_384);
    expect(quic.closedWith).toBeUndefined();
  });

  test('requests with bodies of one-octet frames, one after another', () => {
    expectLinear((octets) => {
      const quic = new FedQuic();
      const connection = new WebTransportConnection(quic);
      connection.handleEvent({ type: 'writable' });
      const request = concat([POST, repeated(50_000, ONE_OCTET_DATA)]);
      return () => {
        for (let i = 0; i * request.length < octets; i++) {
          arrive(quic, connection, i * 4, request, true);
          for (let event = connection.poll(); event !== undefined; event = connection.poll())
            if (event.type === 'request') connection.respond(event.streamId, 200);
          connection.handleEvent({ type: 'streamFinished', streamId: i * 4 });
        }
      };
    });
  });

  test.each([
    ['of an open session', 0, 'reset'],
    ['of a session that never comes', 400, 'reset'],
    ['of a session that never comes, left open', 400, 'open'],
  ])('stream headers %s', (_name, sessionId, end) => {
    const header = new Writer(new Uint8Array(8)).varint(0x54, 2).varint(sessionId).finish();
    expectLinear((octets) => {
      const { quic, connection } = openSession();
      return () => {
        for (let i = 0; i * header.length < octets / 4; i++) {
          const streamId = 6 + i * 4;
          arrive(quic, connection, streamId, header);
          if (end === 'reset') connection.handleEvent({ type: 'streamReset', streamId, code: 0 });
          drain(connection);
        }
        expect(quic.closedWith).toBeUndefined();
      };
    });
  });
});

describe('voice', () => {
  const small = encodeMessage({ type: 'a' });

  test('many small messages at once', () => {
    expectLinear((octets) => {
      const data = repeated(octets, small);
      return () => {
        const decoder = new MessageDecoder();
        decoder.push(data);
        let messages = 0;
        while (decoder.next() !== undefined) messages++;
        expect(messages).toBe(data.length / small.length);
      };
    });
  });

  test('messages that come octet by octet', () => {
    const large = encodeMessage({ type: 'a', text: 'x'.repeat(900_000) } as { type: string });
    expectLinear((octets) => {
      const data = concat([large, repeated(octets - large.length, small)]);
      return () => {
        const decoder = new MessageDecoder();
        for (let at = 0; at < data.length; at++) {
          decoder.push(data.subarray(at, at + 1));
          decoder.next();
        }
        expect(decoder.bufferedOctets).toBe(0);
      };
    });
  });

  test('microphone stream headers that come octet by octet', () => {
    expectLinear((octets) => () => {
      const decoder = new MicrophoneHeaderDecoder();
      const data = new Uint8Array(65_536).fill(0x20);
      data.set([0x80, 0, 0xff, 0xf0]);
      for (let done = 0; done < octets; done += data.length) {
        const one = done === 0 ? decoder : new MicrophoneHeaderDecoder();
        for (let at = 0; at < 60_000; at++) one.push(data.subarray(at, at + 1));
      }
    });
  });
});
