import type { Reader } from '../../wire/index.ts';
import { readAck } from './ack.ts';
import { readAckFrequency, readImmediateAck } from './ack-frequency.ts';
import { readConnectionClose } from './close.ts';
import { readNewConnectionId, readRetireConnectionId } from './connection-id.ts';
import { readCrypto, readNewToken } from './crypto.ts';
import { readDatagram } from './datagram.ts';
import { type Frame, type FramePacketType, FrameType } from './frame.ts';
import {
  readDataBlocked,
  readMaxData,
  readMaxStreamData,
  readMaxStreams,
  readStreamDataBlocked,
  readStreamsBlocked,
} from './limits.ts';
import { readPathChallenge, readPathResponse } from './path.ts';
import { readResetStream, readResetStreamAt, readStopSending, readStream } from './stream.ts';

/** What the engine must know of a frame type before it looks inside. */
export interface FrameRule {
  readonly name: string;
  /** Packet types it may come in, as bits of `PACKET_BIT`. */
  readonly packets: number;
  /** RFC 9000 §13.2: a packet with such a frame is acknowledged. */
  readonly ackEliciting: boolean;
  /** RFC 9000 §9.1: a packet of only these is a probe and does not migrate the connection. */
  readonly probing: boolean;
  /** A server that gets it closes with PROTOCOL_VIOLATION (RFC 9000 §19.7, §19.20). */
  readonly fromServerOnly: boolean;
  readonly read: (reader: Reader, type: number) => Frame;
}

export const PACKET_BIT: { readonly [type in FramePacketType]: number } = {
  initial: 1,
  handshake: 2,
  zeroRtt: 4,
  oneRtt: 8,
};

/** `IH01` as RFC 9000 Table 3 writes it, `_` for a packet type where the frame is forbidden. */
function packetBits(notation: string): number {
  let bits = 0;
  if (notation.includes('I')) bits |= PACKET_BIT.initial;
  if (notation.includes('H')) bits |= PACKET_BIT.handshake;
  if (notation.includes('0')) bits |= PACKET_BIT.zeroRtt;
  if (notation.includes('1')) bits |= PACKET_BIT.oneRtt;
  return bits;
}

/** `flags`: N not ack-eliciting, P probing, S from a server only. */
function rule(name: string, packets: string, read: FrameRule['read'], flags = ''): FrameRule {
  return {
    name,
    packets: packetBits(packets),
    ackEliciting: !flags.includes('N'),
    probing: flags.includes('P'),
    fromServerOnly: flags.includes('S'),
    read,
  };
}

function readPadding(reader: Reader): Frame {
  const start = reader.offset - 1;
  while (!reader.done && reader.peekU8() === 0) reader.skip(1);
  return { type: 'padding', length: reader.offset - start };
}

const PING: Frame = { type: 'ping' };
const HANDSHAKE_DONE: Frame = { type: 'handshakeDone' };

const stream = rule('STREAM', '__01', readStream);

/**
 * RFC 9000 Table 3, RFC 9221 §4, RESET_STREAM_AT draft §4 and the frames of the ACK frequency extension, by frame type. RETIRE_CONNECTION_ID is refused in 0-RTT as RFC 9000 §12.5 allows: it cannot
 * be sent there.
 */
const rules: readonly (readonly [number, FrameRule])[] = [
  [FrameType.PADDING, rule('PADDING', 'IH01', readPadding, 'NP')],
  [FrameType.PING, rule('PING', 'IH01', () => PING)],
  [FrameType.ACK, rule('ACK', 'IH_1', readAck, 'N')],
  [FrameType.ACK_ECN, rule('ACK', 'IH_1', readAck, 'N')],
  [FrameType.RESET_STREAM, rule('RESET_STREAM', '__01', readResetStream)],
  [FrameType.STOP_SENDING, rule('STOP_SENDING', '__01', readStopSending)],
  [FrameType.CRYPTO, rule('CRYPTO', 'IH_1', readCrypto)],
  [FrameType.NEW_TOKEN, rule('NEW_TOKEN', '___1', readNewToken, 'S')],
  ...Array.from({ length: 8 }, (_, bits) => [FrameType.STREAM | bits, stream] as const),
  [FrameType.MAX_DATA, rule('MAX_DATA', '__01', readMaxData)],
  [FrameType.MAX_STREAM_DATA, rule('MAX_STREAM_DATA', '__01', readMaxStreamData)],
  [FrameType.MAX_STREAMS_BIDI, rule('MAX_STREAMS', '__01', readMaxStreams)],
  [FrameType.MAX_STREAMS_UNI, rule('MAX_STREAMS', '__01', readMaxStreams)],
  [FrameType.DATA_BLOCKED, rule('DATA_BLOCKED', '__01', readDataBlocked)],
  [FrameType.STREAM_DATA_BLOCKED, rule('STREAM_DATA_BLOCKED', '__01', readStreamDataBlocked)],
  [FrameType.STREAMS_BLOCKED_BIDI, rule('STREAMS_BLOCKED', '__01', readStreamsBlocked)],
  [FrameType.STREAMS_BLOCKED_UNI, rule('STREAMS_BLOCKED', '__01', readStreamsBlocked)],
  [FrameType.NEW_CONNECTION_ID, rule('NEW_CONNECTION_ID', '__01', readNewConnectionId, 'P')],
  [FrameType.RETIRE_CONNECTION_ID, rule('RETIRE_CONNECTION_ID', '___1', readRetireConnectionId)],
  [FrameType.PATH_CHALLENGE, rule('PATH_CHALLENGE', '__01', readPathChallenge, 'P')],
  [FrameType.PATH_RESPONSE, rule('PATH_RESPONSE', '___1', readPathResponse, 'P')],
  [FrameType.CONNECTION_CLOSE, rule('CONNECTION_CLOSE', 'IH01', readConnectionClose, 'N')],
  [FrameType.CONNECTION_CLOSE_APPLICATION, rule('CONNECTION_CLOSE', '__01', readConnectionClose, 'N')],
  [FrameType.HANDSHAKE_DONE, rule('HANDSHAKE_DONE', '___1', () => HANDSHAKE_DONE, 'S')],
  [FrameType.IMMEDIATE_ACK, rule('IMMEDIATE_ACK', '___1', readImmediateAck)],
  [FrameType.ACK_FREQUENCY, rule('ACK_FREQUENCY', '___1', readAckFrequency)],
  [FrameType.RESET_STREAM_AT, rule('RESET_STREAM_AT', '__01', readResetStreamAt)],
  [FrameType.DATAGRAM, rule('DATAGRAM', '__01', readDatagram)],
  [FrameType.DATAGRAM_LENGTH, rule('DATAGRAM', '__01', readDatagram)],
];

const byType: readonly (FrameRule | undefined)[] = (() => {
  const table = new Array<FrameRule | undefined>(FrameType.ACK_FREQUENCY + 1).fill(undefined);
  for (const [type, entry] of rules) table[type] = entry;
  return table;
})();

/** The rule of a frame type, or `undefined` for a type that is unknown. */
export function frameRule(type: number): FrameRule | undefined {
  return byType[type];
}
