import {
  type Frame,
  FrameType,
  writeAck,
  writeAckFrequency,
  writeConnectionClose,
  writeCrypto,
  writeDataBlocked,
  writeDatagram,
  writeHandshakeDone,
  writeImmediateAck,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeNewConnectionId,
  writePathChallenge,
  writePathResponse,
  writePing,
  writeResetStream,
  writeResetStreamAt,
  writeRetireConnectionId,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamHeader,
  writeStreamsBlocked,
} from '../../proto/quic/frames/index.ts';
import type { Writer } from '../../proto/wire/index.ts';

type LimitFrame = Extract<
  Frame,
  {
    type: 'maxData' | 'maxStreamData' | 'maxStreams' | 'dataBlocked' | 'streamDataBlocked' | 'streamsBlocked';
  }
>;

/**
 * Writes any frame as a value, with lengths, by the writers that the engine sends with; those of frames that it never sends stand
 * here. `WireError` when it does not fit.
 */
export function writeFrame(writer: Writer, frame: Frame): void {
  switch (frame.type) {
    case 'padding':
      writer.zeros(frame.length);
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
      writer.u8(FrameType.NEW_TOKEN).varint(frame.token.length).bytes(frame.token);
      return;
    case 'stream':
      writeStreamHeader(writer, frame.streamId, frame.offset, frame.data.length, frame.fin);
      writer.bytes(frame.data);
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
    case 'ackFrequency':
      writeAckFrequency(writer, frame);
      return;
    case 'immediateAck':
      writeImmediateAck(writer);
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
