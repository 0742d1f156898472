import type { Writer } from '../../wire/index.ts';
import { writeAck } from './ack.ts';
import { writeConnectionClose } from './close.ts';
import { writeNewConnectionId, writeRetireConnectionId } from './connection-id.ts';
import { writeCrypto, writeNewToken } from './crypto.ts';
import { writeDatagram } from './datagram.ts';
import { type Frame, FrameType, type LimitFrame } from './frame.ts';
import {
  writeDataBlocked,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeStreamDataBlocked,
  writeStreamsBlocked,
} from './limits.ts';
import { writePathChallenge, writePathResponse } from './path.ts';
import { writeResetStream, writeResetStreamAt, writeStopSending, writeStream } from './stream.ts';

/** `length` octets of PADDING. */
export function writePadding(writer: Writer, length: number): void {
  writer.zeros(length);
}

export function writePing(writer: Writer): void {
  writer.u8(FrameType.PING);
}

export function writeHandshakeDone(writer: Writer): void {
  writer.u8(FrameType.HANDSHAKE_DONE);
}

/** Writes any frame, with lengths. Hot paths call the frame's own function; `WireError` when it does not fit. */
export function writeFrame(writer: Writer, frame: Frame): void {
  switch (frame.type) {
    case 'padding':
      writePadding(writer, frame.length);
      return;
    case 'ping':
      writePing(writer);
      return;
    case 'ack':
      // All ranges or none: the bound is the writer's own.
      writeAck(writer, frame.ranges, frame.delay, frame.ecn, Number.MAX_SAFE_INTEGER);
      return;
    case 'resetStream':
      writeResetStream(writer, frame.streamId, frame.code, frame.finalSize);
      return;
    case 'resetStreamAt':
      writeResetStreamAt(writer, frame.streamId, frame.code, frame.finalSize, frame.reliableSize);
      return;
    case 'stopSending':
      writeStopSending(writer, frame.streamId, frame.code);
      return;
    case 'crypto':
      writeCrypto(writer, frame.offset, frame.data);
      return;
    case 'newToken':
      writeNewToken(writer, frame.token);
      return;
    case 'stream':
      writeStream(writer, frame.streamId, frame.offset, frame.data, frame.fin);
      return;
    case 'newConnectionId':
      writeNewConnectionId(
        writer,
        frame.sequence,
        frame.retirePriorTo,
        frame.connectionId,
        frame.statelessResetToken,
      );
      return;
    case 'retireConnectionId':
      writeRetireConnectionId(writer, frame.sequence);
      return;
    case 'pathChallenge':
      writePathChallenge(writer, frame.data);
      return;
    case 'pathResponse':
      writePathResponse(writer, frame.data);
      return;
    case 'connectionClose':
      writeConnectionClose(writer, frame, Number.MAX_SAFE_INTEGER);
      return;
    case 'handshakeDone':
      writeHandshakeDone(writer);
      return;
    case 'datagram':
      writeDatagram(writer, frame.data);
      return;
    default:
      writeLimitFrame(writer, frame);
      return;
  }
}

function writeLimitFrame(writer: Writer, frame: LimitFrame): void {
  switch (frame.type) {
    case 'maxData':
      writeMaxData(writer, frame.maximum);
      return;
    case 'maxStreamData':
      writeMaxStreamData(writer, frame.streamId, frame.maximum);
      return;
    case 'maxStreams':
      writeMaxStreams(writer, frame.bidirectional, frame.maximum);
      return;
    case 'dataBlocked':
      writeDataBlocked(writer, frame.limit);
      return;
    case 'streamDataBlocked':
      writeStreamDataBlocked(writer, frame.streamId, frame.limit);
      return;
    case 'streamsBlocked':
      writeStreamsBlocked(writer, frame.bidirectional, frame.limit);
      return;
  }
}
