import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeSettings } from '../../../proto/http3/index.ts';
import { body, GET, headers, makeBench } from './server.ts';

const ROLES = ['server', 'client'] as const;

describe('control stream (RFC 9114 §6.2.1, §7.2)', () => {
  test('SETTINGS leave as the first octets as soon as the connection is writable', () => {
    const bench = makeBench('server');
    bench.run();
    const sent = bench.peer.readStream(3)?.data as Uint8Array;
    expect([sent[0], sent[1]]).toEqual([0, 4]);
    const settings = decodeSettings(sent.subarray(3));
    expect([settings.get(0x01), settings.get(0x07), settings.get(0x06)]).toEqual([0, 0, 16_384]);
    expect([...settings.keys()].some((id) => (id - 0x21) % 0x1f === 0)).toBe(true);
  });

  test('the control stream waits until the peer allows one', () => {
    const bench = makeBench('server', { maxStreams: 0 });
    bench.run();
    expect(bench.peer.readStream(3)).toBeUndefined();
  });

  test.each([
    ['DATA before SETTINGS', '00 0000', 0x10a],
    ['a frame of unknown type before SETTINGS', '00 2100', 0x10a],
    ['a second SETTINGS', '00 0400 0400', 0x105],
    ['a setting of HTTP/2', '00 0402 0201', 0x109],
    ['a setting said twice', '00 0404 06010601', 0x109],
    ['SETTINGS_H3_DATAGRAM of 2 (RFC 9297 §2.1.1)', '00 0402 3302', 0x109],
    ['SETTINGS_ENABLE_CONNECT_PROTOCOL of 2 (RFC 9220 §3)', '00 0402 0802', 0x109],
    ['SETTINGS that end within a setting', '00 0401 06', 0x106],
    ['SETTINGS of a megabyte', '00 04 80100000', 0x107],
    ['DATA', '00 0400 0000', 0x105],
    ['HEADERS', '00 0400 0100', 0x105],
    ['PUSH_PROMISE', '00 0400 0500', 0x105],
    ['PRIORITY of HTTP/2', '00 0400 0200', 0x105],
    ['CONTINUATION of HTTP/2', '00 0400 0900', 0x105],
    ['a stream signal', '00 0400 404100', 0x106],
    ['GOAWAY without an ID', '00 0400 0700', 0x106],
    ['GOAWAY with an ID and more', '00 0400 07020000', 0x106],
    ['GOAWAY that rises (§5.2)', '00 0400 070104 070108', 0x108],
    ['CANCEL_PUSH of a push that cannot be', '00 0400 030100', 0x108],
  ])('%s ends the connection, in either role', (_, hex, code) => {
    for (const role of ROLES) {
      for (const options of [{}, { octetsPerEvent: 1 }]) {
        const bench = makeBench(role, options);
        bench.stream('unidirectional', hex);
        bench.run();
        expect(bench.quic.closedWith).toMatchObject({ code, by: 'local' });
      }
    }
  });

  test('frames of unknown type are skipped, of any length (§9)', () => {
    const bench = makeBench('server');
    bench.stream('unidirectional', '00 0400 4f01 03 aabbcc 070100');
    bench.run();
    expect(bench.events.map((event) => event.type)).toEqual(['settings', 'goAway']);
  });

  test('MAX_PUSH_ID may rise but not fall, and never comes from a server (§7.2.7)', () => {
    const rising = makeBench('server');
    rising.stream('unidirectional', '00 0400 0d0101 0d0102');
    rising.run();
    expect(rising.quic.closedWith).toBeUndefined();
    const falling = makeBench('server');
    falling.stream('unidirectional', '00 0400 0d0102 0d0101');
    falling.run();
    expect(falling.quic.closedWith?.code).toBe(0x108);
    const client = makeBench('client');
    client.stream('unidirectional', '00 0400 0d0102');
    client.run();
    expect(client.quic.closedWith?.code).toBe(0x105);
  });

  test('a GOAWAY that names no request stream is H3_ID_ERROR at a client (§7.2.6)', () => {
    const bench = makeBench('client');
    bench.stream('unidirectional', '00 0400 070101');
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(0x108);
  });

  test.each(['00 0400', '02', '03'])('the end or reset of critical stream %s is an error', (hex) => {
    const ended = makeBench('server');
    ended.stream('unidirectional', hex, true);
    ended.run();
    expect(ended.quic.closedWith?.code).toBe(0x104);
    const reset = makeBench('server');
    const id = reset.stream('unidirectional', hex);
    reset.run();
    reset.peer.resetStream(id, 0x100);
    reset.run();
    expect(reset.quic.closedWith?.code).toBe(0x104);
  });

  test.each(['00 0400', '02', '03'])('a second critical stream %s is H3_STREAM_CREATION_ERROR', (hex) => {
    const bench = makeBench('server');
    bench.stream('unidirectional', hex);
    bench.stream('unidirectional', hex);
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(0x103);
  });

  test('the peer may not stop our control stream (§6.2.1)', () => {
    const bench = makeBench('server');
    bench.run();
    bench.peer.stopSending(3, 0x100);
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(0x104);
  });
});

describe('other unidirectional streams (RFC 9114 §6.2)', () => {
  test('an unknown type is asked to stop and harms nothing', () => {
    const bench = makeBench('server', { octetsPerEvent: 1 });
    const id = bench.stream('unidirectional', '4077 01020304');
    bench.run();
    expect(bench.peer.stops.get(id)).toBe(0x103);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('a stream may end before its type', () => {
    const bench = makeBench('server');
    bench.stream('unidirectional', '40', true);
    bench.run();
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('a push is refused in either role (§4.6)', () => {
    for (const [role, code] of [
      ['server', 0x103],
      ['client', 0x108],
    ] as const) {
      const bench = makeBench(role);
      bench.stream('unidirectional', '0100');
      bench.run();
      expect(bench.quic.closedWith?.code).toBe(code);
    }
  });

  test('violations on the QPACK streams close with their codes (RFC 9204 §6)', () => {
    for (const [hex, code] of [
      ['02 c00161', 0x201],
      ['03 84', 0x202],
    ] as const) {
      const bench = makeBench('server', { octetsPerEvent: 1 });
      bench.stream('unidirectional', hex);
      bench.run();
      expect(bench.quic.closedWith?.code).toBe(code);
    }
  });
});

describe('request streams at a server (RFC 9114 §4.1)', () => {
  test.each([{}, { octetsPerEvent: 1 }])('body and trailers come through (%o)', (options) => {
    const bench = makeBench('server', options);
    bench.stream(
      'bidirectional',
      `${GET} 0003 616263 0000 2101ff 0002 6465 ${headers(['x-end', '1'])}`,
      true,
    );
    bench.run();
    expect(bench.events[0]).toMatchObject({
      type: 'request',
      streamId: 0,
      request: { method: 'GET', path: '/' },
    });
    expect(new TextDecoder().decode(body(bench.events))).toBe('abcde');
    expect(bench.events.at(-1)).toEqual({ type: 'end', streamId: 0 });
  });

  test.each([
    ['DATA first', '0000', 0x105],
    ['DATA after the trailers', `${GET} 0000 ${headers(['x', 'y'])} 0000`, 0x105],
    ['HEADERS after the trailers', `${GET} ${headers(['x', 'y'])} ${headers(['x', 'y'])}`, 0x105],
    ['SETTINGS', '0400', 0x105],
    ['GOAWAY', `${GET} 070100`, 0x105],
    ['PUSH_PROMISE', `${GET} 050100`, 0x105],
    ['a frame of HTTP/2', `${GET} 0600`, 0x105],
    ['a stream signal later on', `${GET} 404100`, 0x106],
    ['an end within a frame', `${GET} 0003 61`, 0x106],
    ['an end within a frame type', '40', 0x106],
    ['HEADERS that are no QPACK', '0103 0000ff', 0x200],
    ['HEADERS after CONNECT (§4.4)', `${headers([':method', 'CONNECT'], [':authority', 'a'])} ${GET}`, 0x105],
  ])('%s ends the connection', (_, hex, code) => {
    for (const options of [{}, { octetsPerEvent: 1 }]) {
      const bench = makeBench('server', options);
      bench.stream('bidirectional', hex, true);
      bench.run();
      expect(bench.quic.closedWith).toMatchObject({ code, by: 'local' });
    }
  });

  const line = (...fields: [string, string][]) =>
    headers([':method', 'GET'], [':scheme', 'https'], [':authority', 'a'], [':path', '/'], ...fields);
  test.each([
    ['an upper-case name (§4.2)', line(['X-Big', '1'])],
    ['an empty name', line(['', '1'])],
    ['a name with a space', line(['a b', '1'])],
    ['connection (§4.2)', line(['connection', 'close'])],
    ['transfer-encoding (§4.2)', line(['transfer-encoding', 'chunked'])],
    ['te other than trailers (§4.2)', line(['te', 'gzip'])],
    ['a line feed in a value (§10.3)', line(['x', 'a\nb'])],
    ['NUL in a value (§10.3)', line(['x', 'a\0b'])],
    ['a pseudo-header after a header (§4.3)', line(['x', 'y'], [':path', '/'])],
    ['a pseudo-header twice (§4.3)', line([':path', '/'])],
    ['an unknown pseudo-header (§4.3)', line([':x', '1'])],
    ['a response pseudo-header (§4.3)', line([':status', '200'])],
    ['no :method (§4.3.1)', headers([':scheme', 'https'], [':authority', 'a'], [':path', '/'])],
    ['no :path (§4.3.1)', headers([':method', 'GET'], [':scheme', 'https'], [':authority', 'a'])],
    [
      'an empty :path (§4.3.1)',
      headers([':method', 'GET'], [':scheme', 'https'], [':authority', 'a'], [':path', '']),
    ],
    ['no authority (§4.3.1)', headers([':method', 'GET'], [':scheme', 'https'], [':path', '/'])],
    ['host that disagrees (§4.3.1)', line(['host', 'b'])],
    [
      'user information (§4.3.1)',
      headers([':method', 'GET'], [':scheme', 'https'], [':authority', 'u@a'], [':path', '/']),
    ],
    [':protocol without CONNECT (RFC 8441 §4)', line([':protocol', 'webtransport'])],
    ['CONNECT with :path alone (§4.4)', headers([':method', 'CONNECT'], [':authority', 'a'], [':path', '/'])],
    [
      'an extended CONNECT without :authority (RFC 8441 §4)',
      headers([':method', 'CONNECT'], [':protocol', 'webtransport'], [':scheme', 'https'], [':path', '/']),
    ],
    ['a content-length that is no number (§4.1.2)', line(['content-length', '1x'])],
  ])('%s makes the message malformed: H3_MESSAGE_ERROR, and the connection goes on', (_, hex) => {
    const bench = makeBench('server');
    const id = bench.stream('bidirectional', hex);
    bench.run();
    expect(bench.peer.resets.get(id)).toBe(0x10e);
    expect(bench.peer.stops.get(id)).toBe(0x10e);
    expect(bench.events).toEqual([]);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('a body shorter or longer than content-length is malformed (§4.1.2)', () => {
    for (const frames of ['0001 61', '0003 616263']) {
      const bench = makeBench('server');
      const id = bench.stream('bidirectional', `${line(['content-length', '2'])} ${frames}`, true);
      bench.run();
      expect(bench.peer.resets.get(id)).toBe(0x10e);
      expect(bench.events.at(-1)).toMatchObject({ type: 'aborted', code: 0x10e, local: true });
    }
  });

  test('pseudo-headers in trailers are malformed (§4.3)', () => {
    const bench = makeBench('server');
    const id = bench.stream('bidirectional', `${GET} ${headers([':path', '/'])}`, true);
    bench.run();
    expect(bench.peer.resets.get(id)).toBe(0x10e);
  });

  test('an end before the request is H3_REQUEST_INCOMPLETE (§4.1)', () => {
    const bench = makeBench('server');
    const id = bench.stream('bidirectional', '', true);
    bench.run();
    expect(bench.peer.resets.get(id)).toBe(0x10d);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('a header section above SETTINGS_MAX_FIELD_SECTION_SIZE is answered with 431 (§4.2.2)', () => {
    for (const hex of [line(['x', 'y'.repeat(17_000)]), '01 80100000']) {
      const bench = makeBench('server');
      const id = bench.stream('bidirectional', hex);
      bench.run();
      expect(bench.peer.stops.get(id)).toBe(0x100);
      // Literal value with the static name :status, then 431.
      expect(bench.peer.readStream(id)?.fin).toBe(true);
      expect(bench.events).toEqual([]);
      expect(bench.quic.closedWith).toBeUndefined();
    }
  });

  test('after our GOAWAY requests are rejected, and signal streams are not (§5.2)', () => {
    const bench = makeBench('server');
    bench.stream('bidirectional', GET, true);
    bench.run();
    bench.http3.goAway();
    const request = bench.stream('bidirectional', GET, true);
    bench.stream('bidirectional', '4041 00');
    bench.run();
    expect(bench.peer.resets.get(request)).toBe(0x10b);
    expect(bench.events.filter((event) => event.type === 'request')).toHaveLength(1);
    expect(bench.events.at(-1)).toMatchObject({ type: 'signalStream', direction: 'bidirectional' });
  });

  test('a datagram that ends within its quarter stream ID is H3_DATAGRAM_ERROR (RFC 9297 §2.1)', () => {
    for (const datagram of [Uint8Array.of(), Uint8Array.of(0x40), new Uint8Array(8).fill(0xff)]) {
      const bench = makeBench('server');
      bench.peer.sendDatagram(datagram);
      bench.run();
      expect(bench.quic.closedWith?.code).toBe(0x33);
    }
  });
});

describe('responses at a client (RFC 9114 §4.1, §4.3.2)', () => {
  const request = (options = {}) => {
    const bench = makeBench('client', options);
    const id = bench.http3.reserveRequest('GET');
    bench.http3.sendHeaders(id, [[':method', 'GET']], true);
    bench.run();
    return { bench, id };
  };
  const answer = (hex: string, fin = true) => {
    const { bench, id } = request();
    bench.peer.writeStream(id, Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')), fin);
    bench.run();
    return { bench, id };
  };

  test('interim responses are passed over', () => {
    const { bench } = answer(`${headers([':status', '103'])} ${headers([':status', '200'])} 0001 61`);
    expect(bench.events.map((event) => event.type)).toEqual(['response', 'data', 'end']);
  });

  test.each([
    ['no :status', headers(['x', 'y'])],
    ['a :status of two digits', headers([':status', '20'])],
    ['status 101 (§4.5)', headers([':status', '101'])],
    ['an end before the response', ''],
  ])('%s is malformed', (_, hex) => {
    const { bench } = answer(hex);
    expect(bench.events).toMatchObject([{ type: 'aborted', code: 0x10e, local: true }]);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('PUSH_PROMISE is H3_ID_ERROR, since no push was allowed (§7.2.5)', () => {
    expect(answer(`${headers([':status', '200'])} 050100`).bench.quic.closedWith?.code).toBe(0x108);
  });

  test('a bidirectional stream of the server must carry the signal (§6.1)', () => {
    const bench = makeBench('client');
    bench.stream('bidirectional', GET);
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(0x103);
  });

  test('requests made before the connection is writable leave in order once it is', () => {
    const bench = makeBench('client');
    const first = bench.http3.reserveRequest('GET');
    const second = bench.http3.reserveRequest('GET');
    bench.http3.sendHeaders(second, [[':method', 'GET']], true);
    bench.http3.sendHeaders(first, [[':method', 'GET']], true);
    bench.run();
    expect([first, second]).toEqual([0, 4]);
    expect(bench.peer.readStream(0)?.fin).toBe(true);
    expect(bench.peer.readStream(4)?.fin).toBe(true);
  });
});

test('whatever comes on whichever stream, nothing throws and a close has a code of HTTP/3', () => {
  const opening = fc.constantFrom('', '00', '000400', '02', '03', '4054', '4041', '4054 00', GET);
  const write = fc.record({
    direction: fc.constantFrom('bidirectional' as const, 'unidirectional' as const),
    opening,
    rest: fc.uint8Array({ maxLength: 40 }),
    fin: fc.boolean(),
    reset: fc.boolean(),
    datagram: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...ROLES),
      fc.array(write, { maxLength: 6 }),
      fc.constantFrom(1, 3, undefined),
      fc.integer({ min: 0, max: 7 }),
      (role, writes, octetsPerEvent, picked) => {
        const bench = makeBench(role, {
          pick: (count) => picked % count,
          ...(octetsPerEvent === undefined ? {} : { octetsPerEvent }),
        });
        for (const { direction, opening: start, rest, fin, reset, datagram } of writes) {
          const id = bench.stream(direction, start);
          bench.peer.writeStream(id, rest, fin);
          if (reset) bench.run();
          if (reset) bench.peer.resetStream(id, rest[0] ?? 0);
          if (datagram) bench.peer.sendDatagram(rest);
        }
        bench.run();
        const code = bench.quic.closedWith?.code;
        const known = code === undefined || code === 0x33 || (code >= 0x101 && code <= 0x202);
        expect(known).toBe(true);
      },
    ),
    { numRuns: 1000 },
  );
});
