import { Writer } from '../../wire/index.ts';
import { ConnectionKeys } from '../connection/handshake/keys.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { writeConnectionClose } from '../frames/index.ts';
import { finishPacket, type LongPacket, writeLongHeader } from '../packet/index.ts';

/** Keys for a first packet, if it is authentic: garbage makes no connection. */
export function authenticKeys(data: Uint8Array, packet: LongPacket): ConnectionKeys | undefined {
  const keys = new ConnectionKeys('server');
  keys.setInitial(packet.destinationConnectionId);
  try {
    const opened = keys.initial!.receive.open(data, packet.start, packet.packetNumberAt, packet.end, 0);
    return opened === undefined ? undefined : keys;
  } catch (error) {
    if (error instanceof TransportError) return undefined;
    throw error;
  }
}

/** How a connection that is not begun is closed. */
export interface Refusal {
  readonly code: number;
  readonly reason: string;
}

export const BAD_TOKEN: Refusal = { code: TransportErrorCode.INVALID_TOKEN, reason: 'invalid Retry token' };
export const TOO_MANY: Refusal = {
  code: TransportErrorCode.CONNECTION_REFUSED,
  reason: 'too many connections',
};
export const NOT_ACCEPTING: Refusal = {
  code: TransportErrorCode.CONNECTION_REFUSED,
  reason: 'takes no new connections',
};

/** CONNECTION_CLOSE in answer to a first packet. There is no state for it, and so no closing period. */
export function refusal(keys: ConnectionKeys, packet: LongPacket, { code, reason }: Refusal): Uint8Array {
  const header = {
    type: 'initial',
    destinationConnectionId: packet.sourceConnectionId,
    sourceConnectionId: packet.destinationConnectionId,
  } as const;
  const writer = new Writer(new Uint8Array(MAX_REFUSAL_OCTETS));
  const packetNumberAt = writeLongHeader(writer, header, 0, 1);
  writeConnectionClose(writer, { application: false, code, frameType: 0, reason });
  finishPacket(writer, keys.initial!.send, 0, packetNumberAt, 1, 0);
  return writer.finish();
}

/** Two CIDs of 20 octets, the rest of a long header, CONNECTION_CLOSE with its reason, a tag: below a tenth of what it answers. */
const MAX_REFUSAL_OCTETS = 112;
