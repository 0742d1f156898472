import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { deriveTunnelKeys } from '../../../proto/quic-lb/index.ts';
import {
  encodeSpp,
  SPP_HEADER_OCTETS,
  TAG_OCTETS,
  TUNNEL_FAULT,
  TUNNEL_OVERHEAD_OCTETS,
  TunnelEnd,
} from '../../../proto/spp/index.ts';
import { concat, SipHash, sipKey } from '../../../proto/wire/index.ts';

const ROUTING_KEY = new Uint8Array(32).fill(0x42);
const KEYS = deriveTunnelKeys(ROUTING_KEY);
const HEADER = { clientHost: '192.0.2.7', clientPort: 50_123, proxyHost: '2001:db8::9', proxyPort: 4433 };
const PAYLOAD = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
const forwarder = new TunnelEnd('forwarder', 'require', KEYS);
const backend = new TunnelEnd('backend', 'require', KEYS);

describe('a datagram between forwarder and backend', () => {
  test('is header, tag and payload, and is read at the other end', () => {
    for (const [from, to] of [
      [forwarder, backend],
      [backend, forwarder],
    ] as const) {
      const datagram = from.seal(HEADER, PAYLOAD);
      expect(datagram.length).toBe(TUNNEL_OVERHEAD_OCTETS + PAYLOAD.length);
      expect(datagram.subarray(0, SPP_HEADER_OCTETS)).toEqual(encodeSpp(HEADER, new Uint8Array()));
      expect(to.open(datagram)).toEqual({ header: HEADER, payload: PAYLOAD });
      expect(to.open(from.seal(HEADER, new Uint8Array()))?.payload).toEqual(new Uint8Array());
    }
  });

  test('has the tag SipHash-2-4 of its header under a key of HKDF-SHA-256 (RFC 5869) for its direction', () => {
    const hmac = (key: Uint8Array, data: Uint8Array) =>
      new Uint8Array(createHmac('sha256', key).update(data).digest());
    const extracted = hmac(new Uint8Array(32), ROUTING_KEY);
    const info = new TextEncoder().encode('parley tunnel to backend');
    const key = hmac(extracted, concat([info, Uint8Array.of(1)])).subarray(0, 16);
    const datagram = forwarder.seal(HEADER, PAYLOAD);
    const hash = new SipHash();
    hash.hash(sipKey(key), datagram.subarray(0, SPP_HEADER_OCTETS));
    const view = new DataView(datagram.buffer, SPP_HEADER_OCTETS, TAG_OCTETS);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([hash.low, hash.high]);
  });

  test('with any octet of header or tag changed, cut short, sent back or of another cluster is not taken', () => {
    const datagram = forwarder.seal(HEADER, PAYLOAD);
    const faultOf = (data: Uint8Array, end = backend) => end.payloadAt(data, 0, data.length);
    for (let bit = 0; bit < TUNNEL_OVERHEAD_OCTETS * 8; bit++) {
      const changed = datagram.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(faultOf(changed)).toBe(bit < 16 ? TUNNEL_FAULT.notSpp : TUNNEL_FAULT.badTag);
    }
    for (let length = 0; length < TUNNEL_OVERHEAD_OCTETS; length++) {
      expect(faultOf(datagram.subarray(0, length))).toBeLessThan(0);
      expect(backend.open(datagram.subarray(0, length))).toBeUndefined();
    }
    expect(faultOf(datagram, forwarder)).toBe(TUNNEL_FAULT.badTag);
    const other = new TunnelEnd('backend', 'require', deriveTunnelKeys(new Uint8Array(32).fill(0x43)));
    expect(faultOf(datagram, other)).toBe(TUNNEL_FAULT.badTag);
    expect(faultOf(encodeSpp(HEADER, PAYLOAD))).toBe(TUNNEL_FAULT.badTag);
  });

  test('changes over from untagged to tagged without a packet lost: off, then accept, then require', () => {
    const steps = ['off', 'accept', 'require'] as const;
    for (let i = 0; i + 1 < steps.length; i++) {
      for (const [sends, takes] of [
        [steps[i]!, steps[i + 1]!],
        [steps[i + 1]!, steps[i]!],
      ] as const) {
        const datagram = new TunnelEnd('backend', sends, KEYS).seal(HEADER, PAYLOAD);
        expect(datagram.length - PAYLOAD.length).toBe(
          sends === 'off' ? SPP_HEADER_OCTETS : TUNNEL_OVERHEAD_OCTETS,
        );
        expect(new TunnelEnd('forwarder', takes, KEYS).open(datagram)?.payload).toEqual(PAYLOAD);
      }
    }
    const plain = new TunnelEnd('backend', 'off', KEYS).seal(HEADER, PAYLOAD);
    expect(plain).toEqual(encodeSpp(HEADER, PAYLOAD));
    expect(forwarder.open(plain)).toBeUndefined();
  });

  test('lies anywhere in memory', () => {
    const datagram = forwarder.seal(HEADER, PAYLOAD);
    const memory = concat([new Uint8Array(7).fill(0x56), datagram, new Uint8Array(20)]);
    expect(backend.payloadAt(memory, 7, 7 + datagram.length)).toBe(7 + TUNNEL_OVERHEAD_OCTETS);
    memory.fill(0, 7 + SPP_HEADER_OCTETS, 7 + TUNNEL_OVERHEAD_OCTETS);
    forwarder.putTag(memory, 7);
    expect(memory.subarray(7, 7 + datagram.length)).toEqual(datagram);
  });
});
