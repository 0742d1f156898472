import { readVersions } from '../../invariants/index.ts';
import { Reader, WireError } from '../../wire/index.ts';
import {
  type DroppedPacket,
  type DropReason,
  MAX_CONNECTION_ID_OCTETS,
  type ParsedPacket,
  VERSION_1,
} from './header.ts';
import { RETRY_TAG_OCTETS } from './retry.ts';

const LONG = 0x80;
const FIXED = 0x40;
const EMPTY = new Uint8Array(0);

function drop(reason: DropReason): DroppedPacket {
  return { type: 'drop', reason };
}

const TRUNCATED = drop('truncated');
const FIXED_BIT = drop('fixed-bit');
const CONNECTION_ID_LENGTH = drop('connection-id-length');
const VERSION_LIST = drop('version-list');

/**
 * Parses the packet at `start` of a datagram as far as it can be without keys; never throws. `shortCidOctets` is the
 * length of our own CIDs, which a short header does not tell. `acceptGreasedBit` takes packets whose Fixed Bit is 0:
 * for those who sent grease_quic_bit (RFC 9287 §3). CIDs and tokens are views into `datagram`.
 */
export function parsePacket(
  datagram: Uint8Array,
  start: number,
  shortCidOctets: number,
  acceptGreasedBit = false,
): ParsedPacket {
  try {
    const reader = new Reader(datagram, Math.min(start, datagram.length));
    return (reader.peekU8() & LONG) === 0
      ? parseShort(reader, shortCidOctets, acceptGreasedBit)
      : parseLong(reader, acceptGreasedBit);
  } catch (error) {
    if (error instanceof WireError) return TRUNCATED;
    throw error;
  }
}

function parseShort(reader: Reader, cidOctets: number, acceptGreasedBit: boolean): ParsedPacket {
  const start = reader.offset;
  if ((reader.u8() & FIXED) === 0 && !acceptGreasedBit) return FIXED_BIT;
  const destinationConnectionId = reader.bytes(cidOctets);
  return { type: 'oneRtt', start, end: reader.end, destinationConnectionId, packetNumberAt: reader.offset };
}

function parseLong(reader: Reader, acceptGreasedBit: boolean): ParsedPacket {
  const start = reader.offset;
  const first = reader.u8();
  const version = reader.u32();
  const destinationConnectionId = reader.bytes(reader.u8());
  const sourceConnectionId = reader.bytes(reader.u8());
  const end = reader.end;
  if (version === 0) {
    // RFC 9000 §17.2.1: the unused bits of the first octet mean nothing.
    const versions = readVersions(reader);
    if (versions === undefined) return VERSION_LIST;
    return { type: 'versionNegotiation', start, end, destinationConnectionId, sourceConnectionId, versions };
  }
  if (version !== VERSION_1)
    return { type: 'unknownVersion', start, end, version, destinationConnectionId, sourceConnectionId };
  if ((first & FIXED) === 0 && !acceptGreasedBit) return FIXED_BIT;
  // RFC 9000 §17.2: in version 1 a longer CID is dropped.
  if (
    destinationConnectionId.length > MAX_CONNECTION_ID_OCTETS ||
    sourceConnectionId.length > MAX_CONNECTION_ID_OCTETS
  )
    return CONNECTION_ID_LENGTH;
  const kind = (first >> 4) & 0x03;
  if (kind === 3) {
    if (reader.remaining < RETRY_TAG_OCTETS) return TRUNCATED;
    const token = reader.bytes(reader.remaining - RETRY_TAG_OCTETS);
    return { type: 'retry', start, end, version, destinationConnectionId, sourceConnectionId, token };
  }
  const token = kind === 0 ? reader.bytes(reader.varint()) : EMPTY;
  const length = reader.varint();
  const packetNumberAt = reader.offset;
  reader.skip(length);
  return {
    type: kind === 0 ? 'initial' : kind === 1 ? 'zeroRtt' : 'handshake',
    start,
    end: reader.offset,
    version,
    destinationConnectionId,
    sourceConnectionId,
    token,
    packetNumberAt,
  };
}
