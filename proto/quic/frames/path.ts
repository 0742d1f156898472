import type { Reader, Writer } from '../../wire/index.ts';
import { FrameType, type PathChallengeFrame, type PathResponseFrame } from './frame.ts';

/** Octets of data in PATH_CHALLENGE and PATH_RESPONSE. */
const PATH_DATA_OCTETS = 8;

/** PATH_CHALLENGE (RFC 9000 §19.17). */
export function readPathChallenge(reader: Reader): PathChallengeFrame {
  return { type: 'pathChallenge', data: reader.bytes(PATH_DATA_OCTETS) };
}

export function writePathChallenge(writer: Writer, data: Uint8Array): void {
  writer.u8(FrameType.PATH_CHALLENGE).bytes(data);
}

/** PATH_RESPONSE (RFC 9000 §19.18). */
export function readPathResponse(reader: Reader): PathResponseFrame {
  return { type: 'pathResponse', data: reader.bytes(PATH_DATA_OCTETS) };
}

export function writePathResponse(writer: Writer, data: Uint8Array): void {
  writer.u8(FrameType.PATH_RESPONSE).bytes(data);
}
