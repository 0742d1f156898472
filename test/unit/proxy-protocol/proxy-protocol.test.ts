import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeProxyHeader,
  encodeProxyHeader,
  MAX_PROXY_HEADER_OCTETS,
} from '../../../proto/proxy-protocol/index.ts';
import { concat, fromHex, toHex } from '../../../proto/wire/index.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const octets = (hex: string): Uint8Array => fromHex(hex.replaceAll(' ', '')) as Uint8Array;

/** As haproxy writes them. */
const TCP4 = octets(`${SIGNATURE} 21 11 000c c0000207 cb007105 c350 1151`);
const TCP6 = octets(
  `${SIGNATURE} 21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 c350 1151`,
);
const V4 = { client: { host: '192.0.2.7', port: 50_000 }, called: { host: '203.0.113.5', port: 4433 } };
const V6 = { client: { host: '2001:db8::1', port: 50_000 }, called: { host: '2001:db8::2', port: 4433 } };

describe('the PROXY protocol, version 2', () => {
  test.each([
    ['IPv4', V4, TCP4],
    ['IPv6', V6, TCP6],
  ])('writes and reads %s', (_, header, wire) => {
    expect(toHex(encodeProxyHeader(header)!)).toBe(toHex(wire));
    const followed = concat([wire, octets('160301')]);
    expect(decodeProxyHeader(followed)).toEqual({ state: 'complete', octets: wire.length, header });
  });

  test('writes both addresses as IPv6 when their families differ', () => {
    const wire = encodeProxyHeader({ client: V4.client, called: V6.called })!;
    expect(wire[13]).toBe(0x21);
    expect(decodeProxyHeader(wire)).toMatchObject({ header: { client: V4.client, called: V6.called } });
  });

  test('skips TLVs behind the addresses', () => {
    const wire = concat([TCP4, octets('04 0002 0000')]);
    wire[15] = 0x0c + 5;
    expect(decodeProxyHeader(wire)).toEqual({ state: 'complete', octets: wire.length, header: V4 });
  });

  test('takes LOCAL, which names no client', () => {
    const wire = octets(`${SIGNATURE} 20 00 0000`);
    expect(decodeProxyHeader(wire)).toEqual({ state: 'complete', octets: 16, header: undefined });
  });

  test('is incomplete at every octet but the last', () => {
    for (const wire of [TCP4, TCP6])
      for (let length = 0; length < wire.length; length++)
        expect(decodeProxyHeader(wire.subarray(0, length))).toEqual({ state: 'incomplete' });
  });

  test.each([
    ['a TLS record', '160301', 'signature'],
    ['a signature with its last octet wrong', `${SIGNATURE.slice(0, -2)}0b`, 'signature'],
    ['version 1 in the place of version 2', `${SIGNATURE} 11`, 'version'],
    ['an unknown command', `${SIGNATURE} 22`, 'version'],
    ['UDP', `${SIGNATURE} 21 12`, 'family'],
    ['a socket of Unix', `${SIGNATURE} 21 31`, 'family'],
    ['too short for two IPv4 addresses', `${SIGNATURE} 21 11 000b`, 'length'],
    ['too short for two IPv6 addresses', `${SIGNATURE} 21 21 0023`, 'length'],
    ['longer than is taken', `${SIGNATURE} 21 11 0300`, 'length'],
  ])('refuses %s as soon as it shows', (_, hex, fault) => {
    expect(decodeProxyHeader(octets(hex))).toEqual({ state: 'fault', fault });
  });

  test('writes no header for what is no address or no port', () => {
    for (const client of [
      { host: 'localhost', port: 1 },
      { host: '192.0.2.7', port: 65_536 },
      { host: '192.0.2.7', port: 1.5 },
    ])
      expect(encodeProxyHeader({ client, called: V4.called })).toBeUndefined();
  });

  test('gives back every address and port', () => {
    const endpoint = fc.record({
      host: fc.oneof(
        fc.ipV4(),
        fc.ipV6().filter((text) => !text.includes('.')),
      ),
      port: fc.nat(65_535),
    });
    fc.assert(
      fc.property(endpoint, endpoint, (client, called) => {
        const wire = encodeProxyHeader({ client, called })!;
        const result = decodeProxyHeader(wire);
        expect(result).toMatchObject({ state: 'complete', octets: wire.length });
        const header = result.state === 'complete' ? result.header! : expect.fail();
        // Texts of an address differ; its octets, and so the header made from them again, do not.
        expect(toHex(encodeProxyHeader(header)!)).toBe(toHex(wire));
      }),
    );
  });

  test('never throws, and asks for no more than its bound', () => {
    const start = octets(SIGNATURE);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), fc.nat(16), (tail, kept) => {
        const result = decodeProxyHeader(concat([start.subarray(0, kept), tail]));
        if (result.state === 'complete') expect(result.octets).toBeLessThanOrEqual(MAX_PROXY_HEADER_OCTETS);
        if (result.state === 'incomplete')
          expect(Math.min(kept, 12) + tail.length).toBeLessThan(MAX_PROXY_HEADER_OCTETS);
      }),
      { numRuns: 5000 },
    );
  });
});
