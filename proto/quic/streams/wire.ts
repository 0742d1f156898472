import { varintLength, type Writer } from '../../wire/index.ts';
import { FrameType } from '../frames/index.ts';

/** Bits of a STREAM frame's type (RFC 9000 §19.8). */
const FIN_BIT = 0x01;
const LENGTH_BIT = 0x02;
const OFFSET_BIT = 0x04;
/** A part of a STREAM frame's octets smaller than this waits for the next packet rather than fill up this one. */
const MIN_FRAGMENT_OCTETS = 32;

/** Writes a frame of one varint when it fits. */
export function writeFrame1(writer: Writer, type: number, a: number): boolean {
  if (1 + varintLength(a) > writer.remaining) return false;
  writer.u8(type).varint(a);
  return true;
}

/** Writes a frame of two varints when it fits. */
export function writeFrame2(writer: Writer, type: number, a: number, b: number): boolean {
  if (1 + varintLength(a) + varintLength(b) > writer.remaining) return false;
  writer.u8(type).varint(a).varint(b);
  return true;
}

/** Writes a frame of three varints when it fits. */
export function writeFrame3(writer: Writer, type: number, a: number, b: number, c: number): boolean {
  if (1 + varintLength(a) + varintLength(b) + varintLength(c) > writer.remaining) return false;
  writer.u8(type).varint(a).varint(b).varint(c);
  return true;
}

/** Writes a frame of four varints when it fits. */
export function writeFrame4(
  writer: Writer,
  type: number,
  a: number,
  b: number,
  c: number,
  d: number,
): boolean {
  const octets = 1 + varintLength(a) + varintLength(b) + varintLength(c) + varintLength(d);
  if (octets > writer.remaining) return false;
  writer.u8(type).varint(a).varint(b).varint(c).varint(d);
  return true;
}

/** How many of `available` octets a STREAM frame can carry within `room` octets; -1 when it is not worth a frame. */
export function streamFrameCapacity(
  streamId: number,
  offset: number,
  available: number,
  room: number,
): number {
  const header = 1 + varintLength(streamId) + (offset > 0 ? varintLength(offset) : 0);
  const left = room - header;
  if (left < 1) return -1;
  const fits = Math.min(available, left - varintLength(Math.min(available, left)));
  if (fits < 0 || (fits < available && fits < MIN_FRAGMENT_OCTETS)) return -1;
  return fits;
}

/** Writes the header of a STREAM frame; `length` octets of data follow. */
export function writeStreamHeader(
  writer: Writer,
  streamId: number,
  offset: number,
  length: number,
  fin: boolean,
): void {
  const type = FrameType.STREAM | LENGTH_BIT | (offset > 0 ? OFFSET_BIT : 0) | (fin ? FIN_BIT : 0);
  writer.u8(type).varint(streamId);
  if (offset > 0) writer.varint(offset);
  writer.varint(length);
}
