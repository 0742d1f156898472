import type { Reader, Writer } from '../../wire/index.ts';
import { type AckFrequencyFrame, FrameType, type ImmediateAckFrame } from './frame.ts';
import { readClamped } from './values.ts';

/** ACK_FREQUENCY (ACK frequency draft §4). */
export function readAckFrequency(reader: Reader): AckFrequencyFrame {
  return {
    type: 'ackFrequency',
    sequence: readClamped(reader),
    threshold: readClamped(reader),
    maxAckDelayMicros: readClamped(reader),
    reorderingThreshold: readClamped(reader),
  };
}

export function writeAckFrequency(writer: Writer, frame: Omit<AckFrequencyFrame, 'type'>): void {
  writer
    .varint(FrameType.ACK_FREQUENCY)
    .varint(frame.sequence)
    .varint(frame.threshold)
    .varint(frame.maxAckDelayMicros)
    .varint(frame.reorderingThreshold);
}

const IMMEDIATE_ACK: ImmediateAckFrame = { type: 'immediateAck' };

/** IMMEDIATE_ACK (ACK frequency draft §5). */
export function readImmediateAck(): ImmediateAckFrame {
  return IMMEDIATE_ACK;
}

export function writeImmediateAck(writer: Writer): void {
  writer.u8(FrameType.IMMEDIATE_ACK);
}
