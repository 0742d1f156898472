import { equalOctets } from '../../../wire/index.ts';
import {
  type RetryPacket,
  VERSION_1,
  type VersionNegotiationPacket,
  verifyRetry,
} from '../../packet/index.ts';
import { PacketSpace } from '../../recovery/index.ts';
import { requeue } from '../send/acks.ts';
import type { ConnectionState } from '../state.ts';

/** Client: follows one Retry, before anything else came (RFC 9000 §17.2.5.2). Anything odd is dropped, not answered. */
export function onRetry(state: ConnectionState, header: RetryPacket, data: Uint8Array, now: number): void {
  const octets = header.end - header.start;
  const first = state.isClient && state.peerSourceId === undefined && state.retrySourceId === undefined;
  if (!first || header.token.length === 0) {
    state.drop('bad-retry', octets, now);
    return;
  }
  if (equalOctets(header.sourceConnectionId, state.originalDestination)) {
    state.drop('bad-retry', octets, now);
    return;
  }
  const packet = data.subarray(header.start, header.end);
  if (!verifyRetry(packet, state.originalDestination)) {
    state.drop('bad-retry', octets, now);
    return;
  }
  state.retrySourceId = header.sourceConnectionId.slice();
  state.retryToken = header.token.slice();
  state.remoteIds.replaceFirst(state.retrySourceId);
  state.keys.setInitial(state.retrySourceId);
  // RFC 9000 §17.2.5.3: packet numbers go on; what was sent is sent again under the new keys.
  for (const sent of state.recovery.takeOutstanding(PacketSpace.INITIAL, now))
    for (const retransmit of sent.retransmits) requeue(state, state.spaces[0], retransmit);
}

/** Client: a server that does not speak version 1 says what it speaks (RFC 9000 §6.2). */
export function onVersionNegotiation(
  state: ConnectionState,
  header: VersionNegotiationPacket,
  now: number,
): void {
  const octets = header.end - header.start;
  const first = state.isClient && state.peerSourceId === undefined && state.retrySourceId === undefined;
  // RFC 8999 §6: both CIDs of what it answers must come back.
  const ours =
    equalOctets(header.sourceConnectionId, state.originalDestination) &&
    equalOctets(header.destinationConnectionId, state.localSourceId);
  if (!first || !ours || header.versions.includes(VERSION_1)) {
    state.drop('malformed-header', octets, now);
    return;
  }
  state.end({ kind: 'version-mismatch', offered: header.versions }, now);
}
