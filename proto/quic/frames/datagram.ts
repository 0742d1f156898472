import { type Reader, varintLength, type Writer } from '../../wire/index.ts';
import { type DatagramFrame, FrameType } from './frame.ts';

/** DATAGRAM, types 0x30 and 0x31 (RFC 9221 §4). Without a length it takes the rest of the packet. */
export function readDatagram(reader: Reader, type: number): DatagramFrame {
  const start = reader.offset;
  const data = type === FrameType.DATAGRAM ? reader.rest() : reader.bytes(reader.varint());
  return { type: 'datagram', data, frameOctets: reader.offset - start + 1 };
}

/** Octets of a DATAGRAM frame before its data; `length` absent when it is the last of its packet. */
export function datagramOverhead(length?: number): number {
  return 1 + (length === undefined ? 0 : varintLength(length));
}

/** Writes a DATAGRAM frame; `last` leaves its length out, and then nothing may follow in the packet. */
export function writeDatagram(writer: Writer, data: Uint8Array, last = false): void {
  writer.u8(last ? FrameType.DATAGRAM : FrameType.DATAGRAM_LENGTH);
  if (!last) writer.varint(data.length);
  writer.bytes(data);
}
