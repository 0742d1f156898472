import { varintLength, type Writer } from '../../wire/index.ts';

/** A part of a STREAM frame's octets smaller than this waits for the next packet rather than fill up this one. */
const MIN_FRAGMENT_OCTETS = 32;

/** Whether a frame of up to four varints still fits. */
export function hasRoom(writer: Writer, a: number, b?: number, c?: number, d?: number): boolean {
  let octets = 1 + varintLength(a);
  if (b !== undefined) octets += varintLength(b);
  if (c !== undefined) octets += varintLength(c);
  if (d !== undefined) octets += varintLength(d);
  return octets <= writer.remaining;
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
