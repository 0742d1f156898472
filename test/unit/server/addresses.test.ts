import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../proto/wire/index.ts';
import { AddressReader, OctetAddress } from '../../../server/net/addresses.ts';

describe('addresses of packets', () => {
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc
      .uint8Array({ minLength: 4, maxLength: 4 })
      .map((v4) => Uint8Array.of(...new Uint8Array(10), 255, 255, ...v4)),
  );

  test('any 16 octets: text and octets are those of the same address', () => {
    fc.assert(
      fc.property(octets, fc.nat(0xffff), fc.nat(8), (hosts, port, at) => {
        const packet = Uint8Array.of(...new Uint8Array(at), ...hosts);
        const address = new AddressReader().read(packet, at, port);
        expect(address).toBeInstanceOf(OctetAddress);
        expect(address.port).toBe(port);
        const out = new Uint8Array(20);
        address.putOctets(out, 3);
        expect(out.subarray(3, 19)).toEqual(hosts);
        expect(parseIp(address.host)).toEqual(hosts);
      }),
    );
  });

  test('one that comes again is the same object; another in its place is not mistaken for it', () => {
    const reader = new AddressReader();
    const host = (last: number, first = 1) => Uint8Array.of(first, ...new Uint8Array(14), last);
    const one = reader.read(host(1), 0, 5);
    expect(reader.read(host(1), 0, 5)).toBe(one);
    // Of the same place: only the first octet differs.
    const other = reader.read(host(1, 2), 0, 5);
    expect(other.host).not.toBe(one.host);
    expect(reader.read(host(1), 0, 5)).toEqual(one);
  });
});
