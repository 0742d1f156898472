export { writeAck } from './ack.ts';
export { writeAckFrequency, writeImmediateAck } from './ack-frequency.ts';
export { writeConnectionClose } from './close.ts';
export { writeNewConnectionId, writeRetireConnectionId } from './connection-id.ts';
export { cryptoOverhead, writeCrypto } from './crypto.ts';
export { datagramOverhead, writeDatagram } from './datagram.ts';
export { decodeFrames } from './decode.ts';
export {
  type AckFrame,
  type AckFrequencyFrame,
  type AckRange,
  type ConnectionCloseFrame,
  type DatagramFrame,
  type FlowFrame,
  type Frame,
  type FramePacketType,
  FrameType,
  type ImmediateAckFrame,
  type ResetStreamAtFrame,
} from './frame.ts';
export {
  writeDataBlocked,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeStreamDataBlocked,
  writeStreamsBlocked,
} from './limits.ts';
export { writePathChallenge, writePathResponse } from './path.ts';
export { writeResetStream, writeResetStreamAt, writeStopSending, writeStreamHeader } from './stream.ts';
export { frameRule } from './table.ts';
export { writeHandshakeDone, writePing } from './write.ts';
