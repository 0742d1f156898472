import { Reader, varintLength, WireError } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import type { Frame, FramePacketType } from './frame.ts';
import { type FrameRule, frameRule, PACKET_BIT } from './table.ts';

/** All frames of a packet's payload. */
export interface DecodedFrames {
  readonly frames: readonly Frame[];
  /** RFC 9000 §13.2.1: at least one frame asks for an acknowledgment. */
  readonly ackEliciting: boolean;
  /** RFC 9000 §9.1: there are only probing frames. */
  readonly probing: boolean;
}

function readType(reader: Reader, packetType: FramePacketType, sender: 'client' | 'server'): number {
  const start = reader.offset;
  const type = reader.varint();
  // RFC 9000 §12.4: a type takes the shortest encoding.
  if (reader.offset - start !== varintLength(type))
    throw new TransportError(
      TransportErrorCode.PROTOCOL_VIOLATION,
      'frame type is not in its shortest form',
      type,
    );
  const rule = frameRule(type);
  if (rule === undefined)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      `frame type 0x${type.toString(16)} is unknown (RFC 9000 §12.4)`,
      Math.min(type, Number.MAX_SAFE_INTEGER),
    );
  if ((rule.packets & PACKET_BIT[packetType]) === 0)
    throw new TransportError(
      TransportErrorCode.PROTOCOL_VIOLATION,
      `${rule.name} is not allowed in a packet of type ${packetType} (RFC 9000 §12.5)`,
      type,
    );
  if (rule.fromServerOnly && sender === 'client')
    throw new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, `a client sent ${rule.name}`, type);
  return type;
}

function readBody(rule: FrameRule, reader: Reader, type: number): Frame {
  try {
    return rule.read(reader, type);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new TransportError(TransportErrorCode.FRAME_ENCODING_ERROR, `${rule.name}: ${error.message}`, type);
  }
}

/**
 * Decodes a packet's payload before anything of it is acted upon. Throws `TransportError`: FRAME_ENCODING_ERROR for what
 * is malformed or unknown, PROTOCOL_VIOLATION for an empty payload (RFC 9000 §12.4), a frame that its packet type or
 * its sender may not send, or an ACK of impossible numbers.
 */
export function decodeFrames(
  payload: Uint8Array,
  packetType: FramePacketType,
  sender: 'client' | 'server',
): DecodedFrames {
  if (payload.length === 0)
    throw new TransportError(
      TransportErrorCode.PROTOCOL_VIOLATION,
      'a packet without frames (RFC 9000 §12.4)',
    );
  const reader = new Reader(payload);
  const frames: Frame[] = [];
  let ackEliciting = false;
  let probing = true;
  while (!reader.done) {
    let type: number;
    try {
      type = readType(reader, packetType, sender);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw new TransportError(TransportErrorCode.FRAME_ENCODING_ERROR, 'frame type is cut short');
    }
    const rule = frameRule(type)!;
    frames.push(readBody(rule, reader, type));
    ackEliciting ||= rule.ackEliciting;
    probing &&= rule.probing;
  }
  return { frames, ackEliciting, probing };
}
