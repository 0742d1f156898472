import type { Reader, Writer } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import {
  type DataBlockedFrame,
  FrameType,
  type MaxDataFrame,
  type MaxStreamDataFrame,
  type MaxStreamsFrame,
  type StreamDataBlockedFrame,
  type StreamsBlockedFrame,
} from './frame.ts';
import { readClamped, readStreamCount } from './values.ts';

function streamCount(reader: Reader, type: number): number {
  const count = readStreamCount(reader);
  // RFC 9000 §19.11 and §19.14
  if (count === undefined)
    throw new TransportError(TransportErrorCode.FRAME_ENCODING_ERROR, 'stream count above 2^60', type);
  return count;
}

/** MAX_DATA (RFC 9000 §19.9). */
export function readMaxData(reader: Reader): MaxDataFrame {
  return { type: 'maxData', maximum: readClamped(reader) };
}

export function writeMaxData(writer: Writer, maximum: number): void {
  writer.u8(FrameType.MAX_DATA).varint(maximum);
}

/** MAX_STREAM_DATA (RFC 9000 §19.10). */
export function readMaxStreamData(reader: Reader): MaxStreamDataFrame {
  return { type: 'maxStreamData', streamId: reader.varint(), maximum: readClamped(reader) };
}

export function writeMaxStreamData(writer: Writer, streamId: number, maximum: number): void {
  writer.u8(FrameType.MAX_STREAM_DATA).varint(streamId).varint(maximum);
}

/** MAX_STREAMS, types 0x12 and 0x13 (RFC 9000 §19.11). */
export function readMaxStreams(reader: Reader, type: number): MaxStreamsFrame {
  const bidirectional = type === FrameType.MAX_STREAMS_BIDI;
  return { type: 'maxStreams', bidirectional, maximum: streamCount(reader, type) };
}

export function writeMaxStreams(writer: Writer, bidirectional: boolean, maximum: number): void {
  writer.u8(bidirectional ? FrameType.MAX_STREAMS_BIDI : FrameType.MAX_STREAMS_UNI).varint(maximum);
}

/** DATA_BLOCKED (RFC 9000 §19.12). */
export function readDataBlocked(reader: Reader): DataBlockedFrame {
  return { type: 'dataBlocked', limit: readClamped(reader) };
}

export function writeDataBlocked(writer: Writer, limit: number): void {
  writer.u8(FrameType.DATA_BLOCKED).varint(limit);
}

/** STREAM_DATA_BLOCKED (RFC 9000 §19.13). */
export function readStreamDataBlocked(reader: Reader): StreamDataBlockedFrame {
  return { type: 'streamDataBlocked', streamId: reader.varint(), limit: readClamped(reader) };
}

export function writeStreamDataBlocked(writer: Writer, streamId: number, limit: number): void {
  writer.u8(FrameType.STREAM_DATA_BLOCKED).varint(streamId).varint(limit);
}

/** STREAMS_BLOCKED, types 0x16 and 0x17 (RFC 9000 §19.14). */
export function readStreamsBlocked(reader: Reader, type: number): StreamsBlockedFrame {
  const bidirectional = type === FrameType.STREAMS_BLOCKED_BIDI;
  return { type: 'streamsBlocked', bidirectional, limit: streamCount(reader, type) };
}

export function writeStreamsBlocked(writer: Writer, bidirectional: boolean, limit: number): void {
  writer.u8(bidirectional ? FrameType.STREAMS_BLOCKED_BIDI : FrameType.STREAMS_BLOCKED_UNI).varint(limit);
}
