import { describe, expect, test } from 'vitest';
import { GET, headers, makeBench } from '../unit/http3/server.ts';

const CODE = {
  STREAM_CREATION: 0x103,
  UNEXPECTED: 0x105,
  FRAME: 0x106,
  LOAD: 0x107,
  ID: 0x108,
  SETTINGS: 0x109,
  MISSING_SETTINGS: 0x10a,
  MESSAGE: 0x10e,
  DECOMPRESSION: 0x200,
  ENCODER: 0x201,
  DECODER: 0x202,
} as const;

/** How a connection of `role` ends whose peer opens a unidirectional stream with these octets. */
function codeOf(role: 'client' | 'server', hex: string, octetsPerEvent?: number): number | undefined {
  const bench = makeBench(role, octetsPerEvent === undefined ? {} : { octetsPerEvent });
  bench.stream('unidirectional', hex);
  bench.run();
  return bench.quic.closedWith?.code;
}

describe('the control stream (RFC 9114 §7.2)', () => {
  const rows: readonly (readonly [string, string, number | undefined])[] = [
    ['RFC 9114 §6.2.1: any frame before SETTINGS', '00 070100', CODE.MISSING_SETTINGS],
    ['RFC 9114 §6.2.1: an unknown frame before SETTINGS', '00 2100', CODE.MISSING_SETTINGS],
    ['RFC 9114 §7.2.4: a second SETTINGS', '00 0400 0400', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.4: one setting twice', '00 0404 06010601', CODE.SETTINGS],
    ['RFC 9114 §7.2.4.1: a setting of HTTP/2', '00 0402 0201', CODE.SETTINGS],
    ['RFC 9114 §11.2.2: another setting of HTTP/2', '00 0402 0401', CODE.SETTINGS],
    ['RFC 9114 §7.1: SETTINGS that end within a setting', '00 0401 06', CODE.FRAME],
    ['RFC 9114 §7.2.4.1: an unknown setting', '00 0403 7fff 01', undefined],
    ['RFC 9220 §5, RFC 8441 §3: SETTINGS_ENABLE_CONNECT_PROTOCOL of 2', '00 0402 0802', CODE.SETTINGS],
    ['RFC 9297 §2.1.1: SETTINGS_H3_DATAGRAM of 2', '00 0402 3302', CODE.SETTINGS],
    ['RFC 9114 §7.2.1: DATA', '00 0400 0000', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.2: HEADERS', '00 0400 0100', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.5: PUSH_PROMISE', '00 0400 0500', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.3: CANCEL_PUSH of a push that never was', '00 0400 030100', CODE.ID],
    ['RFC 9114 §7.1: GOAWAY without its ID', '00 0400 0700', CODE.FRAME],
    ['RFC 9114 §7.1: GOAWAY with octets behind its ID', '00 0400 07020000', CODE.FRAME],
    ['RFC 9114 §5.2: GOAWAY whose ID rises', '00 0400 070104 070108', CODE.ID],
    ['RFC 9114 §7.2.8: a frame type of HTTP/2', '00 0400 0200', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.8: another frame type of HTTP/2', '00 0400 0900', CODE.UNEXPECTED],
    ['RFC 9114 §7.2.8: a reserved frame type', '00 0400 21 03 010203', undefined],
  ];
  test.each(rows)('%s', (_, hex, code) => {
    for (const octetsPerEvent of [undefined, 1]) expect(codeOf('client', hex, octetsPerEvent)).toBe(code);
  });

  test('RFC 9114 §6.2.2: a client that opens a push stream is H3_STREAM_CREATION_ERROR', () => {
    expect(codeOf('server', '0100')).toBe(CODE.STREAM_CREATION);
  });

  test('RFC 9114 §10.5: SETTINGS of a megabyte are refused by their length alone', () => {
    const bench = makeBench('server');
    bench.stream('unidirectional', '00 04 80100000');
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(CODE.LOAD);
  });
});

describe('QPACK over a connection (RFC 9204)', () => {
  const sections: readonly (readonly [string, string])[] = [
    ['RFC 9204 §3.1: a static index above 98', '0000 ff24'],
    ['RFC 9204 §3.2.5: a dynamic index where the table is empty', '0000 80'],
    ['RFC 9204 §4.5.1.1: a Required Insert Count that the table cannot have', '0200 c1'],
    ['RFC 9204 §4.5.1.1: a Required Insert Count and no table', '0100 c1'],
    ['RFC 9204 §4.5.2: an indexed line of the post-base range', '0000 10'],
    ['RFC 9204 §4.5.6: a literal name that ends early', '0000 27 00 61'],
    ['RFC 9204 §4.1.1: an integer of more than 62 bits', '0000 ff ffffffffffffffffff7f'],
    ['RFC 9204 §4.5: a section without its prefix', ''],
  ];
  test.each(sections)('%s is QPACK_DECOMPRESSION_FAILED', (_, hex) => {
    const octets = hex.replaceAll(' ', '');
    const bench = makeBench('server');
    bench.stream('bidirectional', `01 ${(octets.length / 2).toString(16).padStart(2, '0')} ${octets}`);
    bench.run();
    expect(bench.quic.closedWith?.code).toBe(CODE.DECOMPRESSION);
  });

  const instructions: readonly (readonly [string, string, number])[] = [
    ['RFC 9204 §3.2.2: an insertion into a table of capacity 0', '02 c1 01 61', CODE.ENCODER],
    ['RFC 9204 §3.2.3, §4.3.1: a capacity above what was offered', '02 3fe11f', CODE.ENCODER],
    ['RFC 9204 §4.3.4: a duplicate of an entry that is not there', '02 00', CODE.ENCODER],
    ['RFC 9204 §4.4.1: a Section Acknowledgment of a stream without dynamic lines', '03 80', CODE.DECODER],
    ['RFC 9204 §4.4.3: an Insert Count Increment of 0', '03 00', CODE.DECODER],
    ['RFC 9204 §4.4.3: an Insert Count Increment beyond what was sent', '03 05', CODE.DECODER],
  ];
  test.each(instructions)('%s closes with its code', (_, hex, code) => {
    for (const octetsPerEvent of [undefined, 1]) expect(codeOf('server', hex, octetsPerEvent)).toBe(code);
  });

  test('RFC 9204 §4.4.2: a Stream Cancellation harms nothing', () => {
    expect(codeOf('server', '03 40')).toBeUndefined();
  });

  test('RFC 9204 §4.2: each of the two streams may be there once', () => {
    for (const type of ['02', '03']) {
      const bench = makeBench('server');
      bench.stream('unidirectional', type);
      bench.stream('unidirectional', type);
      bench.run();
      expect(bench.quic.closedWith?.code).toBe(CODE.STREAM_CREATION);
    }
  });
});

describe('oversized header lists (defence)', () => {
  test('RFC 9114 §4.2.2: a section that a few octets blow up is refused at its limit: 431, and nothing is told', () => {
    const bench = makeBench('server');
    // Ten thousand references to content-security-policy, 72 octets each by §4.2.2: 720 KB of fields in 10 KB.
    const lines = 'ff16'.repeat(10_000);
    const octets = 2 + lines.length / 2;
    const id = bench.stream('bidirectional', `01 8000${octets.toString(16).padStart(4, '0')} 0000 ${lines}`);
    bench.run();
    expect(bench.events).toEqual([]);
    expect(bench.quic.closedWith).toBeUndefined();
    const answer = bench.peer.readStream(id);
    expect(answer?.fin).toBe(true);
    expect(answer?.data.length).toBeLessThan(64);
  });

  test('RFC 9114 §10.5.1: HEADERS of a length that cannot become an allowed section are refused before their octets come', () => {
    const bench = makeBench('server');
    const ids = Array.from({ length: 100 }, () => bench.stream('bidirectional', '01 bfffffff'));
    bench.run();
    for (const id of ids) expect(bench.peer.stops.get(id)).toBe(0x100);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('RFC 9114 §10.5: a header section costs what was sent of it, not what was announced', () => {
    const bench = makeBench('server', { maxStreams: 600 });
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 500; i++) bench.stream('bidirectional', '01 7fff 0000');
    bench.run();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('RFC 9114 §10.5: a hundred requests that never end hold no more than their limit each', () => {
    const bench = makeBench('server');
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) bench.stream('bidirectional', `01 8000ffff 0000 ${'00'.repeat(1_000)}`);
    bench.run();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 4 * 16_384 * 1.5);
    expect(bench.events).toEqual([]);
  });

  test('RFC 9114 §4.1.1: a thousand requests that are reset at once tell their ends and leave the connection well', () => {
    const bench = makeBench('server', { maxStreams: 2_000 });
    for (let i = 0; i < 1_000; i++) {
      const id = bench.stream('bidirectional', GET);
      bench.run();
      bench.peer.resetStream(id, 0x10c);
      bench.run();
    }
    expect(bench.events.filter(({ type }) => type === 'request')).toHaveLength(1_000);
    expect(bench.events.filter(({ type }) => type === 'aborted')).toHaveLength(1_000);
    expect(bench.quic.closedWith).toBeUndefined();
  });

  test('RFC 9110 §5.5: obsolete line folding and control characters make a message malformed', () => {
    for (const value of ['a\r\n b', 'a\u0001']) {
      const bench = makeBench('server');
      const head = [':method', ':scheme', ':authority', ':path'].map((name, i) => [
        name,
        ['GET', 'https', 'a', '/'][i]!,
      ]);
      const id = bench.stream('bidirectional', headers(...(head as [string, string][]), ['x', value]));
      bench.run();
      expect(bench.peer.resets.get(id)).toBe(CODE.MESSAGE);
    }
  });
});
