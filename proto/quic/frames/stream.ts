import type { Reader, Writer } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import {
  FrameType,
  type ResetStreamAtFrame,
  type ResetStreamFrame,
  type StopSendingFrame,
  type StreamFrame,
} from './frame.ts';
import { endsBeyondWire, readClamped } from './values.ts';

const OFF = 0x04;
const LEN = 0x02;
const FIN = 0x01;

/** STREAM, types 0x08 to 0x0f (RFC 9000 §19.8). Without LEN it takes the rest of the packet. */
export function readStream(reader: Reader, type: number): StreamFrame {
  const streamId = reader.varint();
  const offset = (type & OFF) === 0 ? 0 : reader.varint();
  const data = (type & LEN) === 0 ? reader.rest() : reader.bytes(reader.varint());
  if (endsBeyondWire(offset, data.length))
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'STREAM data ends beyond offset 2^62 - 1 (RFC 9000 §19.8)',
      type,
    );
  return { type: 'stream', streamId, offset, data, fin: (type & FIN) !== 0 };
}

/** Writes a STREAM frame up to its data, of which `length` octets follow. */
export function writeStreamHeader(
  writer: Writer,
  streamId: number,
  offset: number,
  length: number,
  fin: boolean,
): void {
  writer.u8(FrameType.STREAM | LEN | (offset > 0 ? OFF : 0) | (fin ? FIN : 0)).varint(streamId);
  if (offset > 0) writer.varint(offset);
  writer.varint(length);
}

/** RESET_STREAM (RFC 9000 §19.4). */
export function readResetStream(reader: Reader): ResetStreamFrame {
  return {
    type: 'resetStream',
    streamId: reader.varint(),
    code: readClamped(reader),
    finalSize: reader.varint(),
  };
}

export function writeResetStream(writer: Writer, streamId: number, code: number, finalSize: number): void {
  writer.u8(FrameType.RESET_STREAM).varint(streamId).varint(code).varint(finalSize);
}

/** RESET_STREAM_AT (RESET_STREAM_AT draft §4): a reliable size above the final size is FRAME_ENCODING_ERROR. */
export function readResetStreamAt(reader: Reader, type: number): ResetStreamAtFrame {
  const { streamId, code, finalSize } = readResetStream(reader);
  const reliableSize = reader.varint();
  if (reliableSize > finalSize)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      `RESET_STREAM_AT delivers ${reliableSize} octets of a stream that has ${finalSize}`,
      type,
    );
  return { type: 'resetStreamAt', streamId, code, finalSize, reliableSize };
}

export function writeResetStreamAt(
  writer: Writer,
  streamId: number,
  code: number,
  finalSize: number,
  reliableSize: number,
): void {
  writer.u8(FrameType.RESET_STREAM_AT).varint(streamId).varint(code).varint(finalSize).varint(reliableSize);
}

/** STOP_SENDING (RFC 9000 §19.5). */
export function readStopSending(reader: Reader): StopSendingFrame {
  return { type: 'stopSending', streamId: reader.varint(), code: readClamped(reader) };
}

export function writeStopSending(writer: Writer, streamId: number, code: number): void {
  writer.u8(FrameType.STOP_SENDING).varint(streamId).varint(code);
}
