import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildProbe,
  encodeVersionNegotiation,
  HeaderForm,
  isReservedVersion,
  PacketHead,
  parseVersionNegotiation,
} from '../../../proto/invariants/index.ts';
import { fromHex, toHex } from '../../../proto/wire/index.ts';
import vectors from '../../vectors/rfc9001-appendix-a.json' with { type: 'json' };

const octets = (hex: string): Uint8Array => fromHex(hex) as Uint8Array;

describe('the head of a packet', () => {
  test('the client Initial of RFC 9001 Appendix A shows its version and CIDs (RFC 8999 §5.1)', () => {
    const text = JSON.stringify(vectors);
    const packet = octets(/c0000000010[0-9a-f]{40,}/.exec(text)?.[0].slice(0, 80) as string);
    const head = new PacketHead();
    expect(head.parse(packet)).toBe(HeaderForm.long);
    expect(head.version).toBe(1);
    expect(toHex(packet.subarray(head.dcidOffset, head.dcidOffset + head.dcidLength))).toBe(
      '8394c8f03e515708',
    );
    expect(head.scidLength).toBe(0);
    expect(head.end).toBe(15);
  });

  test('a short header gives all that follows its first octet as the DCID (RFC 8999 §5.2)', () => {
    const head = new PacketHead();
    expect(head.parse(octets('4001020304'))).toBe(HeaderForm.short);
    expect([head.dcidOffset, head.dcidLength, head.version]).toEqual([1, 4, 0]);
  });

  test('a version with the top bit set is read without a sign', () => {
    const head = new PacketHead();
    expect(head.parse(octets('c0fa1a2a3a0000'))).toBe(HeaderForm.long);
    expect(head.version).toBe(0xfa1a2a3a);
    expect(isReservedVersion(head.version)).toBe(true);
    expect(isReservedVersion(1)).toBe(false);
  });

  test('every long header that is cut short is truncated, and CIDs of 255 octets are read (RFC 8999 §5.3)', () => {
    const packet = new Uint8Array(7 + 255 + 255).fill(0xff);
    const head = new PacketHead();
    expect(head.parse(packet)).toBe(HeaderForm.long);
    expect([head.dcidLength, head.scidLength, head.end]).toEqual([255, 255, packet.length]);
    for (let length = 1; length < packet.length; length++) {
      expect(head.parse(packet.subarray(0, length))).toBe(HeaderForm.truncated);
    }
    expect(head.parse(new Uint8Array())).toBe(HeaderForm.empty);
  });

  test('a datagram in the middle of a buffer reads as it does by itself, with offsets into the buffer', () => {
    const alone = new PacketHead();
    const within = new PacketHead();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(40), fc.nat(40), (data, before, after) => {
        const buffer = new Uint8Array(before + data.length + after).fill(0xc1);
        buffer.set(data, before);
        const form = alone.parse(data);
        expect(within.parse(buffer, before, before + data.length)).toBe(form);
        if (form < 0) return;
        expect(within.version).toBe(alone.version);
        expect(within.dcidOffset - before).toBe(alone.dcidOffset);
        expect(within.dcidLength).toBe(alone.dcidLength);
        expect(within.scidLength).toBe(alone.scidLength);
        expect(within.end - before).toBe(alone.end);
      }),
      { numRuns: 500, seed: 5 },
    );
  });

  test('random octets never lead outside the datagram', () => {
    const head = new PacketHead();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (data) => {
        if (head.parse(data) < 0) return;
        expect(head.dcidOffset + head.dcidLength).toBeLessThanOrEqual(data.length);
        expect(head.scidOffset + head.scidLength).toBeLessThanOrEqual(data.length);
      }),
      { numRuns: 500, seed: 5 },
    );
  });
});

describe('Version Negotiation (RFC 8999 §6)', () => {
  const destinationConnectionId = octets('0102030405060708');
  const sourceConnectionId = octets('a0a1a2');

  test('what is built is recognised', () => {
    const packet = { destinationConnectionId, sourceConnectionId, versions: [1, 0xfa1a2a3a] };
    expect(parseVersionNegotiation(encodeVersionNegotiation(packet))).toEqual(packet);
  });

  test('a probe has a reserved version and the size of a first datagram (RFC 9000 §6.1)', () => {
    const probe = buildProbe(destinationConnectionId, sourceConnectionId);
    const head = new PacketHead();
    expect(probe).toHaveLength(1200);
    expect(head.parse(probe)).toBe(HeaderForm.long);
    expect(isReservedVersion(head.version)).toBe(true);
    expect(head.dcidLength).toBe(8);
    expect(head.scidLength).toBe(3);
    expect(() => buildProbe(destinationConnectionId, sourceConnectionId, 1)).toThrow(
      'not a reserved version',
    );
  });

  test.each([
    ['a list that ends within a version', '80000000000000000000'],
    ['no version at all', '80000000000000'],
    ['a version that is not 0', '8000000001000000000001'],
    ['a short header', '0000000000000000000001'],
    ['a CID that runs past the end', '8000000000ff0000000001'],
  ])('%s is not one', (_, packet) => {
    expect(parseVersionNegotiation(octets(packet))).toBeUndefined();
  });
});
