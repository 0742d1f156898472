import { MAX_SAFE_VARINT, type Reader, type Writer } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { FrameType, type NewConnectionIdFrame, type RetireConnectionIdFrame } from './frame.ts';

/** NEW_CONNECTION_ID (RFC 9000 §19.15). */
export function readNewConnectionId(reader: Reader): NewConnectionIdFrame {
  const type = FrameType.NEW_CONNECTION_ID;
  const sequence = reader.varint();
  const retirePriorTo = reader.varint();
  if (retirePriorTo > sequence)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'Retire Prior To is above the sequence number (RFC 9000 §19.15)',
      type,
    );
  // RFC 9000 §5.1.1: numbers go up by one per CID, so an honest peer never gets here; and we could not echo it.
  if (sequence > MAX_SAFE_VARINT)
    throw new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, 'CID sequence number skips ahead', type);
  const length = reader.u8();
  if (length < 1 || length > 20)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      `NEW_CONNECTION_ID with a CID of ${length} octets, not 1 to 20 (RFC 9000 §19.15)`,
      type,
    );
  return {
    type: 'newConnectionId',
    sequence,
    retirePriorTo,
    connectionId: reader.bytes(length),
    statelessResetToken: reader.bytes(16),
  };
}

export function writeNewConnectionId(
  writer: Writer,
  sequence: number,
  retirePriorTo: number,
  connectionId: Uint8Array,
  statelessResetToken: Uint8Array,
): void {
  writer.u8(FrameType.NEW_CONNECTION_ID).varint(sequence).varint(retirePriorTo);
  writer.u8(connectionId.length).bytes(connectionId).bytes(statelessResetToken);
}

/** RETIRE_CONNECTION_ID (RFC 9000 §19.16). */
export function readRetireConnectionId(reader: Reader): RetireConnectionIdFrame {
  return { type: 'retireConnectionId', sequence: reader.varint() };
}

export function writeRetireConnectionId(writer: Writer, sequence: number): void {
  writer.u8(FrameType.RETIRE_CONNECTION_ID).varint(sequence);
}
