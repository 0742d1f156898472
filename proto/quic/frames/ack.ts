import { MAX_SAFE_VARINT, type Reader, varintLength, type Writer } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { type AckFrame, type AckRange, type EcnCounts, FrameType } from './frame.ts';

function malformed(type: number): TransportError {
  return new TransportError(
    TransportErrorCode.FRAME_ENCODING_ERROR,
    'ACK names a negative packet number (RFC 9000 §19.3.1)',
    type,
  );
}

/** ACK, types 0x02 and 0x03 (RFC 9000 §19.3). */
export function readAck(reader: Reader, type: number): AckFrame {
  let largest = reader.varint();
  // RFC 9000 §13.1: no endpoint has sent that many packets.
  if (largest > MAX_SAFE_VARINT)
    throw new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, 'ACK of a packet never sent', type);
  const delay = reader.varint();
  const more = reader.varint();
  let smallest = largest - reader.varint();
  if (smallest < 0) throw malformed(type);
  const ranges: AckRange[] = [{ smallest, largest }];
  for (let i = 0; i < more; i++) {
    largest = smallest - reader.varint() - 2;
    smallest = largest - reader.varint();
    if (smallest < 0) throw malformed(type);
    ranges.push({ smallest, largest });
  }
  let ecn: EcnCounts | undefined;
  if (type === FrameType.ACK_ECN) ecn = { ect0: reader.varint(), ect1: reader.varint(), ce: reader.varint() };
  return { type: 'ack', ranges, delay, ecn };
}

/** Ranges, beginning with the largest, that fit into `room` octets of ranges after the first. */
function countFitting(ranges: readonly AckRange[], room: number): number {
  let left = room;
  let count = 1;
  let previous = ranges[0]!;
  for (; count < ranges.length; count++) {
    const range = ranges[count]!;
    left -=
      varintLength(previous.smallest - range.largest - 2) + varintLength(range.largest - range.smallest);
    if (left < 0) break;
    previous = range;
  }
  return count;
}

/**
 * Writes an ACK of `ranges` (largest first, gaps between them) with as many of them as fit into `maxOctets`.
 * `delay` is already scaled by our ack_delay_exponent. Gives the number of ranges written; 0, with nothing written,
 * when not even the first fits.
 */
export function writeAck(
  writer: Writer,
  ranges: readonly AckRange[],
  delay: number,
  ecn?: EcnCounts,
  maxOctets: number = writer.remaining,
): number {
  const first = ranges[0];
  if (first === undefined) return 0;
  const span = first.largest - first.smallest;
  let fixed =
    1 +
    varintLength(first.largest) +
    varintLength(delay) +
    varintLength(ranges.length - 1) +
    varintLength(span);
  if (ecn !== undefined) fixed += varintLength(ecn.ect0) + varintLength(ecn.ect1) + varintLength(ecn.ce);
  if (fixed > maxOctets) return 0;
  const count = countFitting(ranges, maxOctets - fixed);
  writer.u8(ecn === undefined ? FrameType.ACK : FrameType.ACK_ECN);
  writer
    .varint(first.largest)
    .varint(delay)
    .varint(count - 1)
    .varint(span);
  let previous = first;
  for (let i = 1; i < count; i++) {
    const range = ranges[i]!;
    writer.varint(previous.smallest - range.largest - 2).varint(range.largest - range.smallest);
    previous = range;
  }
  if (ecn !== undefined) writer.varint(ecn.ect0).varint(ecn.ect1).varint(ecn.ce);
  return count;
}
