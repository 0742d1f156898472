import { MAX_SAFE_VARINT, Reader, toHex, WireError, Writer } from '../wire/index.ts';
import { TransportError, TransportErrorCode } from './errors.ts';
import { readClamped, readStreamCount } from './frames/values.ts';
import type { RandomSource } from './types.ts';

/** Identifiers (RFC 9000 §18.2, RFC 9221 §3, RFC 9287 §3, RESET_STREAM_AT draft §3, and that of the ACK frequency extension). */
export const TransportParameterId = {
  ORIGINAL_DESTINATION_CONNECTION_ID: 0x00,
  MAX_IDLE_TIMEOUT: 0x01,
  STATELESS_RESET_TOKEN: 0x02,
  MAX_UDP_PAYLOAD_SIZE: 0x03,
  INITIAL_MAX_DATA: 0x04,
  INITIAL_MAX_STREAM_DATA_BIDI_LOCAL: 0x05,
  INITIAL_MAX_STREAM_DATA_BIDI_REMOTE: 0x06,
  INITIAL_MAX_STREAM_DATA_UNI: 0x07,
  INITIAL_MAX_STREAMS_BIDI: 0x08,
  INITIAL_MAX_STREAMS_UNI: 0x09,
  ACK_DELAY_EXPONENT: 0x0a,
  MAX_ACK_DELAY: 0x0b,
  DISABLE_ACTIVE_MIGRATION: 0x0c,
  PREFERRED_ADDRESS: 0x0d,
  ACTIVE_CONNECTION_ID_LIMIT: 0x0e,
  INITIAL_SOURCE_CONNECTION_ID: 0x0f,
  RETRY_SOURCE_CONNECTION_ID: 0x10,
  RESET_STREAM_AT: 0x1d,
  MAX_DATAGRAM_FRAME_SIZE: 0x20,
  GREASE_QUIC_BIT: 0x2ab2,
  MIN_ACK_DELAY: 0xff04de1b,
  /** As revisions -06 and -07 name it, with the same frame: browsers and libraries of 2026 still do. */
  RESET_STREAM_AT_07: 0x17f7586d2cb571,
} as const;
const Id = TransportParameterId;

/** A server's preferred address (RFC 9000 §9.6), as it is on the wire. All zeros mean that a family is absent. */
export interface PreferredAddress {
  /** 4 octets and a port. */
  readonly ipv4: Uint8Array;
  readonly ipv4Port: number;
  /** 16 octets and a port. */
  readonly ipv6: Uint8Array;
  readonly ipv6Port: number;
  readonly connectionId: Uint8Array;
  readonly statelessResetToken: Uint8Array;
}

/** The transport parameters of one side (RFC 9000 §18.2). Limits are clamped to 2^53 - 1. */
export interface TransportParameters {
  readonly originalDestinationConnectionId: Uint8Array | undefined;
  /** 0 is no timeout. */
  readonly maxIdleTimeoutMs: number;
  readonly statelessResetToken: Uint8Array | undefined;
  readonly maxUdpPayloadSize: number;
  readonly initialMaxData: number;
  readonly initialMaxStreamDataBidiLocal: number;
  readonly initialMaxStreamDataBidiRemote: number;
  readonly initialMaxStreamDataUni: number;
  readonly initialMaxStreamsBidi: number;
  readonly initialMaxStreamsUni: number;
  readonly ackDelayExponent: number;
  readonly maxAckDelayMs: number;
  readonly disableActiveMigration: boolean;
  readonly preferredAddress: PreferredAddress | undefined;
  readonly activeConnectionIdLimit: number;
  readonly initialSourceConnectionId: Uint8Array | undefined;
  readonly retrySourceConnectionId: Uint8Array | undefined;
  /** Octets of the whole frame; 0 means that DATAGRAM frames are refused (RFC 9221 §3). */
  readonly maxDatagramFrameSize: number;
  /** The sender takes packets whose Fixed Bit is 0 (RFC 9287 §3). */
  readonly greaseQuicBit: boolean;
  /** The sender takes RESET_STREAM_AT frames (RESET_STREAM_AT draft §3). */
  readonly resetStreamAt: boolean;
  /** The sender takes ACK_FREQUENCY and IMMEDIATE_ACK, and no shorter delay than this, in microseconds; absent: it takes neither. */
  readonly minAckDelayMicros: number | undefined;
}

/** What an absent parameter means (RFC 9000 §18.2). */
export const DEFAULT_TRANSPORT_PARAMETERS: TransportParameters = Object.freeze({
  originalDestinationConnectionId: undefined,
  maxIdleTimeoutMs: 0,
  statelessResetToken: undefined,
  maxUdpPayloadSize: 65527,
  initialMaxData: 0,
  initialMaxStreamDataBidiLocal: 0,
  initialMaxStreamDataBidiRemote: 0,
  initialMaxStreamDataUni: 0,
  initialMaxStreamsBidi: 0,
  initialMaxStreamsUni: 0,
  ackDelayExponent: 3,
  maxAckDelayMs: 25,
  disableActiveMigration: false,
  preferredAddress: undefined,
  activeConnectionIdLimit: 2,
  initialSourceConnectionId: undefined,
  retrySourceConnectionId: undefined,
  maxDatagramFrameSize: 0,
  greaseQuicBit: false,
  resetStreamAt: false,
  minAckDelayMicros: undefined,
});

const integers = [
  [Id.MAX_IDLE_TIMEOUT, 'maxIdleTimeoutMs'],
  [Id.MAX_UDP_PAYLOAD_SIZE, 'maxUdpPayloadSize'],
  [Id.INITIAL_MAX_DATA, 'initialMaxData'],
  [Id.INITIAL_MAX_STREAM_DATA_BIDI_LOCAL, 'initialMaxStreamDataBidiLocal'],
  [Id.INITIAL_MAX_STREAM_DATA_BIDI_REMOTE, 'initialMaxStreamDataBidiRemote'],
  [Id.INITIAL_MAX_STREAM_DATA_UNI, 'initialMaxStreamDataUni'],
  [Id.INITIAL_MAX_STREAMS_BIDI, 'initialMaxStreamsBidi'],
  [Id.INITIAL_MAX_STREAMS_UNI, 'initialMaxStreamsUni'],
  [Id.ACK_DELAY_EXPONENT, 'ackDelayExponent'],
  [Id.MAX_ACK_DELAY, 'maxAckDelayMs'],
  [Id.ACTIVE_CONNECTION_ID_LIMIT, 'activeConnectionIdLimit'],
  [Id.MAX_DATAGRAM_FRAME_SIZE, 'maxDatagramFrameSize'],
  [Id.MIN_ACK_DELAY, 'minAckDelayMicros'],
] as const;

const octetStrings = [
  [Id.ORIGINAL_DESTINATION_CONNECTION_ID, 'originalDestinationConnectionId'],
  [Id.STATELESS_RESET_TOKEN, 'statelessResetToken'],
  [Id.INITIAL_SOURCE_CONNECTION_ID, 'initialSourceConnectionId'],
  [Id.RETRY_SOURCE_CONNECTION_ID, 'retrySourceConnectionId'],
] as const;

const flags = [
  [Id.DISABLE_ACTIVE_MIGRATION, 'disableActiveMigration'],
  [Id.GREASE_QUIC_BIT, 'greaseQuicBit'],
  [Id.RESET_STREAM_AT, 'resetStreamAt'],
  [Id.RESET_STREAM_AT_07, 'resetStreamAt'],
] as const;

/** Reserved identifiers are 31 × N + 27 (RFC 9000 §18.1); N is taken below this. */
const RESERVED_IDS = 2 ** 24;
const MAX_RESERVED_VALUE_OCTETS = 15;

/** A parameter that means nothing, at a random place of the reserved ones: peers must ignore it (RFC 9000 §18.1). */
function writeReservedParameter(writer: Writer, random: RandomSource): void {
  const seed = new Reader(random(4));
  const n = seed.u24() % RESERVED_IDS;
  const length = seed.u8() & MAX_RESERVED_VALUE_OCTETS;
  writeParameter(writer, 31 * n + 27, length === 0 ? new Uint8Array(0) : random(length));
}

/**
 * Encodes what differs from the defaults, for the quic_transport_parameters extension (RFC 9000 §18), and with `random` a
 * reserved parameter too, so that no peer comes to rely on there being none.
 */
export function encodeTransportParameters(
  parameters: Partial<TransportParameters>,
  random?: RandomSource,
): Uint8Array {
  const writer = Writer.growing(256);
  const value = Writer.growing(64);
  for (const [id, name] of integers) {
    const integer = parameters[name];
    if (integer === undefined || integer === DEFAULT_TRANSPORT_PARAMETERS[name]) continue;
    value.offset = 0;
    writeParameter(writer, id, value.varint(integer).finish());
  }
  for (const [id, name] of octetStrings) {
    const octets = parameters[name];
    if (octets !== undefined) writeParameter(writer, id, octets);
  }
  for (const [id, name] of flags) if (parameters[name]) writeParameter(writer, id, new Uint8Array(0));
  const preferred = parameters.preferredAddress;
  if (preferred !== undefined) {
    value.offset = 0;
    value.bytes(preferred.ipv4).u16(preferred.ipv4Port).bytes(preferred.ipv6).u16(preferred.ipv6Port);
    value.u8(preferred.connectionId.length).bytes(preferred.connectionId);
    writeParameter(writer, Id.PREFERRED_ADDRESS, value.bytes(preferred.statelessResetToken).finish());
  }
  if (random !== undefined) writeReservedParameter(writer, random);
  return writer.finish();
}

function writeParameter(writer: Writer, id: number, value: Uint8Array): void {
  writer.varint(id).varint(value.length).bytes(value);
}

type Values = { -readonly [name in keyof TransportParameters]: TransportParameters[name] };

function fail(reason: string): TransportError {
  return new TransportError(TransportErrorCode.TRANSPORT_PARAMETER_ERROR, reason);
}

/**
 * Decodes the peer's quic_transport_parameters extension. `sender` is the peer's role. Throws `TransportError`
 * TRANSPORT_PARAMETER_ERROR for a malformed, forbidden, out-of-range or repeated parameter (RFC 9000 §7.4, §18.2) and
 * for the absence of those that authenticate CIDs (§7.3); their values are for the caller to compare. What is unknown is
 * ignored (§7.4.2). Octets are copies.
 */
export function decodeTransportParameters(
  data: Uint8Array,
  sender: 'client' | 'server',
): TransportParameters {
  const values: Values = { ...DEFAULT_TRANSPORT_PARAMETERS };
  const seen = new Set<string>();
  const reader = new Reader(data);
  try {
    while (!reader.done) {
      const idAt = reader.offset;
      const id = reader.varint();
      // RFC 9000 §7.4: no parameter twice. Identifiers beyond 2^53 are told apart by their octets, not by a rounded number.
      const key = id <= MAX_SAFE_VARINT ? String(id) : toHex(data.subarray(idAt, reader.offset));
      if (seen.has(key)) throw fail(`transport parameter 0x${id.toString(16)} is there twice`);
      seen.add(key);
      decodeOne(values, id, reader.sub(reader.varint()), sender);
    }
  } catch (error) {
    if (error instanceof WireError) throw fail(`transport parameters are malformed: ${error.message}`);
    throw error;
  }
  checkTogether(values, sender);
  return values;
}

function decodeOne(values: Values, id: number, value: Reader, sender: 'client' | 'server'): void {
  for (const [known, name] of integers) {
    if (known !== id) continue;
    values[name] = readInteger(id, value);
    if (!value.done) throw fail(`${name} has octets after its value`);
    return;
  }
  for (const [known, name] of flags) {
    if (known !== id) continue;
    if (!value.done) throw fail(`${name} has a value, and must have none`);
    values[name] = true;
    return;
  }
  if (id === Id.INITIAL_SOURCE_CONNECTION_ID) {
    values.initialSourceConnectionId = readConnectionId(value);
    return;
  }
  if (!isFromServerOnly(id)) return;
  // RFC 9000 §18.2: these only a server may send.
  if (sender === 'client') throw fail(`a client sent transport parameter 0x${id.toString(16)}`);
  if (id === Id.ORIGINAL_DESTINATION_CONNECTION_ID)
    values.originalDestinationConnectionId = readConnectionId(value);
  else if (id === Id.RETRY_SOURCE_CONNECTION_ID) values.retrySourceConnectionId = readConnectionId(value);
  else if (id === Id.PREFERRED_ADDRESS) values.preferredAddress = readPreferredAddress(value);
  else {
    if (value.remaining !== 16) throw fail('stateless_reset_token has not 16 octets');
    values.statelessResetToken = Uint8Array.from(value.rest());
  }
}

function isFromServerOnly(id: number): boolean {
  return (
    id === Id.ORIGINAL_DESTINATION_CONNECTION_ID ||
    id === Id.STATELESS_RESET_TOKEN ||
    id === Id.PREFERRED_ADDRESS ||
    id === Id.RETRY_SOURCE_CONNECTION_ID
  );
}

/** An integer parameter within its range (RFC 9000 §18.2). */
function readInteger(id: number, reader: Reader): number {
  if (id === Id.INITIAL_MAX_STREAMS_BIDI || id === Id.INITIAL_MAX_STREAMS_UNI) {
    const count = readStreamCount(reader);
    if (count === undefined) throw fail('initial_max_streams is above 2^60');
    return count;
  }
  const value = readClamped(reader);
  if (id === Id.MAX_UDP_PAYLOAD_SIZE && value < 1200)
    throw fail(`max_udp_payload_size ${value} is below 1200`);
  if (id === Id.ACK_DELAY_EXPONENT && value > 20) throw fail(`ack_delay_exponent ${value} is above 20`);
  if (id === Id.MAX_ACK_DELAY && value >= 2 ** 14) throw fail(`max_ack_delay ${value} is not below 2^14`);
  if (id === Id.ACTIVE_CONNECTION_ID_LIMIT && value < 2)
    throw fail(`active_connection_id_limit ${value} is below 2`);
  return value;
}

function readConnectionId(value: Reader): Uint8Array {
  if (value.remaining > 20) throw fail(`a CID of ${value.remaining} octets among the transport parameters`);
  return Uint8Array.from(value.rest());
}

function readPreferredAddress(value: Reader): PreferredAddress {
  const ipv4 = Uint8Array.from(value.bytes(4));
  const ipv4Port = value.u16();
  const ipv6 = Uint8Array.from(value.bytes(16));
  const ipv6Port = value.u16();
  const length = value.u8();
  // RFC 9000 §18.2: here a CID is never empty.
  if (length < 1 || length > 20) throw fail(`preferred_address has a CID of ${length} octets`);
  const connectionId = Uint8Array.from(value.bytes(length));
  const statelessResetToken = Uint8Array.from(value.bytes(16));
  if (!value.done) throw fail('preferred_address has octets after its end');
  return { ipv4, ipv4Port, ipv6, ipv6Port, connectionId, statelessResetToken };
}

function checkTogether(values: Values, sender: 'client' | 'server'): void {
  // RFC 9000 §7.3: both sides must send the one, a server also the other.
  if (values.initialSourceConnectionId === undefined) throw fail('initial_source_connection_id is missing');
  if (sender === 'server' && values.originalDestinationConnectionId === undefined)
    throw fail('original_destination_connection_id is missing');
  if ((values.minAckDelayMicros ?? 0) > values.maxAckDelayMs * 1000)
    throw fail('min_ack_delay is above max_ack_delay');
  // RFC 9000 §18.2: a server with empty CIDs has none to give to another address.
  if (values.preferredAddress !== undefined && values.initialSourceConnectionId.length === 0)
    throw fail('preferred_address from a server with empty CIDs');
}
