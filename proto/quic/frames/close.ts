import { type Reader, varintLength, type Writer } from '../../wire/index.ts';
import { type ConnectionCloseFrame, FrameType } from './frame.ts';
import { readClamped } from './values.ts';

const encoder = new TextEncoder();
// RFC 9000 §19.19: the reason SHOULD be UTF-8, so one that is not is shown with replacement characters, not refused.
const decoder = new TextDecoder('utf-8');

/** CONNECTION_CLOSE, types 0x1c and 0x1d (RFC 9000 §19.19). */
export function readConnectionClose(reader: Reader, type: number): ConnectionCloseFrame {
  const application = type === FrameType.CONNECTION_CLOSE_APPLICATION;
  const code = readClamped(reader);
  const frameType = application ? 0 : readClamped(reader);
  const reason = decoder.decode(reader.bytes(reader.varint()));
  return { type: 'connectionClose', application, code, frameType, reason };
}

/** The longest beginning of `octets` within `room` that does not cut a UTF-8 character. */
function cut(octets: Uint8Array, room: number): Uint8Array {
  if (octets.length <= room) return octets;
  let end = Math.max(0, room);
  while (end > 0 && (octets[end]! & 0xc0) === 0x80) end--;
  return octets.subarray(0, end);
}

/** Writes CONNECTION_CLOSE; a reason that does not fit into `maxOctets` for the whole frame is cut short. */
export function writeConnectionClose(
  writer: Writer,
  close: { application: boolean; code: number; frameType: number; reason: string },
  maxOctets: number = writer.remaining,
): void {
  const fixed = 1 + varintLength(close.code) + (close.application ? 0 : varintLength(close.frameType));
  const encoded = encoder.encode(close.reason);
  const reason = cut(encoded, maxOctets - fixed - varintLength(encoded.length));
  writer.u8(close.application ? FrameType.CONNECTION_CLOSE_APPLICATION : FrameType.CONNECTION_CLOSE);
  writer.varint(close.code);
  if (!close.application) writer.varint(close.frameType);
  writer.varint(reason.length).bytes(reason);
}
