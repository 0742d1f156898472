import type { Writer } from '../../wire/index.ts';
import { UsageError } from '../errors.ts';
import { VERSION_1 } from './header.ts';

/** The Length field is written in two octets before the length is known: room for 16383 octets. */
const LENGTH_OCTETS = 2;
const MAX_LENGTH = 0x3fff;
/** Octets that an AEAD adds (RFC 9001 §5.3). */
const TAG_OCTETS = 16;
/** From the packet number on, what must precede the sample (RFC 9001 §5.4.2). */
const OCTETS_BEFORE_SAMPLE = 4;

const LONG_TYPE = { initial: 0xc0, zeroRtt: 0xd0, handshake: 0xe0 } as const;

export interface LongHeaderFields {
  readonly type: 'initial' | 'zeroRtt' | 'handshake';
  readonly destinationConnectionId: Uint8Array;
  readonly sourceConnectionId: Uint8Array;
  /** Of an Initial; absent means empty. */
  readonly token?: Uint8Array | undefined;
}

/** What seals a packet in place: `PacketKeys` and `ApplicationKeys`. */
export interface PacketSealer {
  seal(
    buffer: Uint8Array,
    start: number,
    packetNumberAt: number,
    packetNumberLength: number,
    payloadEnd: number,
    packetNumber: number,
  ): number;
}

/** The last octets of a packet number, in network order (RFC 9000 §17.1). */
function writePacketNumber(writer: Writer, packetNumber: number, length: 1 | 2 | 3 | 4): void {
  const low = packetNumber % 0x1_0000_0000;
  if (length === 1) writer.u8(low & 0xff);
  else if (length === 2) writer.u16(low & 0xffff);
  else if (length === 3) writer.u24(low & 0xff_ffff);
  else writer.u32(low);
}

/**
 * Octets of a long header with its packet number. `payload` and 16 octets of tag come on top.
 */
export function longHeaderOctets(fields: LongHeaderFields, numberLength: number): number {
  let octets = 7 + fields.destinationConnectionId.length + fields.sourceConnectionId.length + LENGTH_OCTETS;
  if (fields.type === 'initial') {
    const token = fields.token?.length ?? 0;
    octets += token + (token < 0x40 ? 1 : token < 0x4000 ? 2 : 4);
  }
  return octets + numberLength;
}

/**
 * Writes a long header of version 1 in the clear, its Length left 0 for `finishPacket`. Gives the index of the packet
 * number. `zeroFixedBit` sends the Fixed Bit as 0, to peers that sent grease_quic_bit (RFC 9287 §3.1).
 */
export function writeLongHeader(
  writer: Writer,
  fields: LongHeaderFields,
  packetNumber: number,
  numberLength: 1 | 2 | 3 | 4,
  zeroFixedBit = false,
): number {
  const first = LONG_TYPE[fields.type] | (numberLength - 1);
  writer.u8(zeroFixedBit ? first & ~0x40 : first).u32(VERSION_1);
  writer.u8(fields.destinationConnectionId.length).bytes(fields.destinationConnectionId);
  writer.u8(fields.sourceConnectionId.length).bytes(fields.sourceConnectionId);
  if (fields.type === 'initial') {
    writer.varint(fields.token?.length ?? 0);
    if (fields.token !== undefined) writer.bytes(fields.token);
  }
  writer.varint(0, LENGTH_OCTETS);
  const packetNumberAt = writer.offset;
  writePacketNumber(writer, packetNumber, numberLength);
  return packetNumberAt;
}

/** Writes a short header in the clear and gives the index of the packet number (RFC 9000 §17.3.1). */
export function writeShortHeader(
  writer: Writer,
  destinationConnectionId: Uint8Array,
  keyPhase: 0 | 1,
  packetNumber: number,
  numberLength: 1 | 2 | 3 | 4,
  spin = false,
  zeroFixedBit = false,
): number {
  writer.u8((zeroFixedBit ? 0 : 0x40) | (spin ? 0x20 : 0) | (keyPhase << 2) | (numberLength - 1));
  writer.bytes(destinationConnectionId);
  const packetNumberAt = writer.offset;
  writePacketNumber(writer, packetNumber, numberLength);
  return packetNumberAt;
}

/**
 * Ends the packet that begins at `start` and whose payload was written behind its header: pads it for its header
 * protection sample, fills in Length, seals it in place. The writer then stands behind the tag. `UsageError` when
 * there is no room for the tag.
 */
export function finishPacket(
  writer: Writer,
  keys: PacketSealer,
  start: number,
  packetNumberAt: number,
  numberLength: 1 | 2 | 3 | 4,
  packetNumber: number,
): void {
  const missing = OCTETS_BEFORE_SAMPLE - (writer.offset - packetNumberAt);
  if (missing > 0) writer.zeros(missing);
  const payloadEnd = writer.offset;
  if ((writer.data[start]! & 0x80) !== 0) {
    const length = payloadEnd - packetNumberAt + TAG_OCTETS;
    if (length > MAX_LENGTH) throw new UsageError(`a long header packet of ${length} octets is too long`);
    writer.offset = packetNumberAt - LENGTH_OCTETS;
    writer.varint(length, LENGTH_OCTETS);
  }
  writer.offset = keys.seal(writer.data, start, packetNumberAt, numberLength, payloadEnd, packetNumber);
}
