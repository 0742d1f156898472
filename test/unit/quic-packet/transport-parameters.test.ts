import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TransportError, TransportErrorCode } from '../../../proto/quic/errors.ts';
import {
  DEFAULT_TRANSPORT_PARAMETERS,
  decodeTransportParameters,
  encodeTransportParameters,
  type TransportParameters,
} from '../../../proto/quic/transport-parameters.ts';
import { concat, fromHex } from '../../../proto/wire/index.ts';

const hex = (text: string): Uint8Array => fromHex(text)!;
/** What a client and what a server must send at the least (RFC 9000 §7.3). */
const CLIENT = '0f00';
const SERVER = '0f0101' + '0000';
const limit = fc.maxSafeNat();
const cid = fc.uint8Array({ maxLength: 20 });
const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

const common = {
  maxIdleTimeoutMs: limit,
  maxUdpPayloadSize: fc.integer({ min: 1200, max: 65527 }),
  initialMaxData: limit,
  initialMaxStreamDataBidiLocal: limit,
  initialMaxStreamDataBidiRemote: limit,
  initialMaxStreamDataUni: limit,
  initialMaxStreamsBidi: limit,
  initialMaxStreamsUni: limit,
  ackDelayExponent: fc.nat(20),
  maxAckDelayMs: fc.nat(2 ** 14 - 1),
  disableActiveMigration: fc.boolean(),
  activeConnectionIdLimit: fc.integer({ min: 2, max: 1000 }),
  maxDatagramFrameSize: fc.nat(65535),
  greaseQuicBit: fc.boolean(),
  resetStreamAt: fc.boolean(),
  minAckDelayMicros: fc.constantFrom(undefined, 0),
};

describe('transport parameters (RFC 9000 §18)', () => {
  it('round-trip those of a client', () => {
    fc.assert(
      fc.property(fc.record({ ...common, initialSourceConnectionId: cid }), (values) => {
        const wanted: TransportParameters = { ...DEFAULT_TRANSPORT_PARAMETERS, ...values };
        expect(decodeTransportParameters(encodeTransportParameters(wanted), 'client')).toEqual(wanted);
      }),
    );
  });

  it('round-trip those of a server', () => {
    const server = fc.record({
      ...common,
      initialSourceConnectionId: fc.uint8Array({ minLength: 1, maxLength: 20 }),
      originalDestinationConnectionId: cid,
      statelessResetToken: fixed(16),
      retrySourceConnectionId: cid,
      preferredAddress: fc.record({
        ipv4: fixed(4),
        ipv4Port: fc.nat(65535),
        ipv6: fixed(16),
        ipv6Port: fc.nat(65535),
        connectionId: fc.uint8Array({ minLength: 1, maxLength: 20 }),
        statelessResetToken: fixed(16),
      }),
    });
    fc.assert(
      fc.property(server, (values) => {
        expect(decodeTransportParameters(encodeTransportParameters(values), 'server')).toEqual(values);
      }),
    );
  });

  it('have the defaults of §18.2 when absent', () => {
    expect(decodeTransportParameters(hex(CLIENT), 'client')).toEqual({
      ...DEFAULT_TRANSPORT_PARAMETERS,
      initialSourceConnectionId: new Uint8Array(0),
    });
    expect(DEFAULT_TRANSPORT_PARAMETERS).toMatchObject({
      maxUdpPayloadSize: 65527,
      ackDelayExponent: 3,
      maxAckDelayMs: 25,
      activeConnectionIdLimit: 2,
    });
  });

  it('ignore what is unknown or reserved (§7.4.2, §18.1)', () => {
    const text = `${CLIENT}1b02abcd${'ffffffffffffffff'}00${'fffffffffffffffe'}0101`;
    expect(decodeTransportParameters(hex(text), 'client').initialMaxData).toBe(0);
  });

  it('clamp limits of up to 2^62 - 1 to what a number holds', () => {
    const decoded = decodeTransportParameters(
      hex(`${CLIENT}0408ffffffffffffffff0808d000000000000000`),
      'client',
    );
    expect(decoded.initialMaxData).toBe(Number.MAX_SAFE_INTEGER);
    expect(decoded.initialMaxStreamsBidi).toBe(Number.MAX_SAFE_INTEGER);
  });

  const preferred = (cidLength: number, length = cidLength) =>
    `0d${(41 + length).toString(16)}${'00'.repeat(24)}${cidLength.toString(16).padStart(2, '0')}${'00'.repeat(length + 16)}`;

  it.each([
    ['a parameter that is there twice (§7.4)', `${CLIENT}04010504${'0105'}`],
    ['an unknown parameter that is there twice (§7.4)', `${CLIENT}1b001b00`],
    ['an unknown parameter twice, beyond 2^53', `${CLIENT}ffffffffffffffff00ffffffffffffffff00`],
    ['a value cut short', `${CLIENT}0404ff`],
    ['an integer with octets after it', `${CLIENT}04020501`],
    ['an integer without octets', `${CLIENT}0400`],
    ['max_udp_payload_size 1199', `${CLIENT}030244af`],
    ['ack_delay_exponent 21', `${CLIENT}0a0115`],
    ['max_ack_delay 2^14', `${CLIENT}0b0480004000`],
    ['active_connection_id_limit 1', `${CLIENT}0e0101`],
    ['initial_max_streams_bidi 2^60 + 1', `${CLIENT}0808d000000000000001`],
    ['initial_max_streams_uni 2^60 + 1', `${CLIENT}0908d000000000000001`],
    ['disable_active_migration with a value', `${CLIENT}0c0100`],
    ['grease_quic_bit with a value (RFC 9287 §3)', `${CLIENT}6ab20100`],
    ['initial_source_connection_id of 21 octets', `0f15${'00'.repeat(21)}`],
    ['no initial_source_connection_id (§7.3)', ''],
    ['original_destination_connection_id from a client', `${CLIENT}0000`],
    ['stateless_reset_token from a client', `${CLIENT}0210${'00'.repeat(16)}`],
    ['preferred_address from a client', `${CLIENT}${preferred(4)}`],
    ['retry_source_connection_id from a client', `${CLIENT}1000`],
  ])('refuse %s', (_what, text) => {
    expect(() => decodeTransportParameters(hex(text), 'client')).toThrowError(
      expect.objectContaining({ code: TransportErrorCode.TRANSPORT_PARAMETER_ERROR }),
    );
  });

  it.each([
    ['no original_destination_connection_id (§7.3)', '0f0101'],
    ['a stateless_reset_token of 15 octets', `${SERVER}020f${'00'.repeat(15)}`],
    ['a preferred_address with an empty CID', `${SERVER}${preferred(0)}`],
    ['a preferred_address with a CID of 21 octets', `${SERVER}${preferred(21)}`],
    ['a preferred_address with octets after it', `${SERVER}${preferred(4, 5)}`],
    ['a preferred_address beside an empty CID', `0f000000${preferred(4)}`],
  ])('refuse from a server %s', (_what, text) => {
    expect(() => decodeTransportParameters(hex(text), 'server')).toThrowError(
      expect.objectContaining({ code: TransportErrorCode.TRANSPORT_PARAMETER_ERROR }),
    );
  });

  it('take a valid preferred_address', () => {
    const decoded = decodeTransportParameters(hex(`${SERVER}${preferred(4)}`), 'server');
    expect(decoded.preferredAddress?.connectionId).toHaveLength(4);
  });

  it('throw nothing but TransportError for arbitrary octets', () => {
    const one = fc
      .tuple(fc.oneof(fc.nat(0x20), fc.nat(63)), fc.uint8Array({ maxLength: 45 }))
      .map(([id, value]) => concat([Uint8Array.of(id, value.length), value]));
    fc.assert(
      fc.property(
        fc.array(one, { maxLength: 6 }),
        fc.uint8Array({ maxLength: 3 }),
        fc.boolean(),
        (list, tail, server) => {
          try {
            decodeTransportParameters(concat([...list, tail]), server ? 'server' : 'client');
          } catch (error) {
            expect(error).toBeInstanceOf(TransportError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
