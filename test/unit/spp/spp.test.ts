import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeSpp,
  encodeSpp,
  formatIp,
  parseAddress,
  parseIp,
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  startsWithSpp,
  writeSppHeader,
} from '../../../proto/spp/index.ts';
import { concat, fromHex, toHex } from '../../../proto/wire/index.ts';
import vectors from '../../vectors/spectrum-spp.json' with { type: 'json' };

const octets = (hex: string): Uint8Array => fromHex(hex) as Uint8Array;

describe('the Spectrum vectors', () => {
  test.each(vectors.vectors)('$comment', (vector) => {
    const header = {
      clientHost: vector.clientAddress,
      clientPort: vector.clientPort,
      proxyHost: vector.proxyAddress,
      proxyPort: vector.proxyPort,
    };
    expect(toHex(encodeSpp(header, octets(vector.payload)))).toBe(vector.datagram);
    expect(decodeSpp(octets(vector.datagram))).toEqual({ header, payload: octets(vector.payload) });
  });

  test.each(vectors.notSpp)('not SPP: $comment', ({ datagram }) => {
    expect(decodeSpp(octets(datagram))).toBeUndefined();
  });
});

describe('IP addresses, IPv4 in its mapped form (RFC 4291 §2.5.5.2)', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['::', '::'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1::', '1::'],
    ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'],
    ['0:1:0:0:0:0:0:0', '0:1::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is written back as %s (RFC 5952 §4.2)', (text, expected) => {
    expect(formatIp(parseIp(text) as Uint8Array)).toBe(expected);
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4 ',
    'a.b.c.d',
    ':',
    ':1',
    '1:',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1.2.3',
    'g::',
    '1:2:3:4:5:6:7::8:9',
    'localhost',
    '::1.2.3.4:5',
  ])('%j is no address', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  test('any 16 octets come back through their text, and Node takes the text for an address', () => {
    const group = fc.oneof(fc.constant([0, 0]), fc.tuple(fc.nat(255), fc.nat(255)));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const address = Uint8Array.from(groups.flat());
        const text = formatIp(address);
        expect(isIP(text)).not.toBe(0);
        expect(parseIp(text)).toEqual(address);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  test('text is an address exactly when Node says so', () => {
    const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', '255', '256', 'abcd', '1.2.3.4');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        expect([text, parseIp(text) !== undefined]).toEqual([text, isIP(text) !== 0]);
      }),
      { numRuns: 3000, seed: 4 },
    );
  });

  test('an address with a port is read with brackets around IPv6, and nothing else is', () => {
    expect(parseAddress('127.0.0.1:5001')).toEqual({ host: '127.0.0.1', port: 5001 });
    expect(parseAddress('[::1]:0')).toEqual({ host: '::1', port: 0 });
    for (const text of [
      '::1:5',
      '[127.0.0.1]:5',
      'host:5',
      '127.0.0.1',
      '127.0.0.1:65536',
      '127.0.0.1:',
      ':5',
    ]) {
      expect(parseAddress(text)).toBeUndefined();
    }
  });
});

test('a header that does not fit or names no address or port is refused, not thrown', () => {
  const good = { host: '127.0.0.1', port: 1 };
  const room = new Uint8Array(38);
  expect(writeSppHeader(room, good, good)).toBe(true);
  expect(writeSppHeader(new Uint8Array(37), good, good)).toBe(false);
  expect(writeSppHeader(room, { host: 'x', port: 1 }, good)).toBe(false);
  expect(writeSppHeader(room, good, { host: '::1', port: 65536 })).toBe(false);
  expect(() => encodeSpp({ clientHost: 'x', clientPort: 1, proxyHost: '::1', proxyPort: 1 }, room)).toThrow(
    TypeError,
  );
});

test('a header put from octets is the one written from text, wherever it goes', () => {
  const client = { host: '2001:db8::7', port: 50_123 };
  const proxy = { host: '192.0.2.9', port: 4433 };
  const text = new Uint8Array(38);
  writeSppHeader(text, client, proxy);
  const out = new Uint8Array(50);
  const clientOctets = concat([new Uint8Array(3), parseIp(client.host)!]);
  putSppHeader(out, 5, clientOctets, 3, client.port, parseIp(proxy.host)!, 0, proxy.port);
  expect(out.subarray(5, 43)).toEqual(text);
  expect(startsWithSpp(out, 5, 43)).toBe(true);
  expect(startsWithSpp(out, 5, 42)).toBe(false);
  expect(startsWithSpp(out, 4, 50)).toBe(false);
  expect(out.subarray(5 + SPP_CLIENT_AT, 5 + SPP_CLIENT_AT + 16)).toEqual(parseIp(client.host));
  expect(out[5 + SPP_CLIENT_PORT_AT]! * 256 + out[5 + SPP_CLIENT_PORT_AT + 1]!).toBe(client.port);
});
