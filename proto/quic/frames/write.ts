import type { Writer } from '../../wire/index.ts';
import { FrameType } from './frame.ts';

export function writePing(writer: Writer): void {
  writer.u8(FrameType.PING);
}

export function writeHandshakeDone(writer: Writer): void {
  writer.u8(FrameType.HANDSHAKE_DONE);
}
