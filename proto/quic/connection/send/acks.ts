import type { AckFrame } from '../../frames/index.ts';
import type { SentPacket } from '../../recovery/index.ts';
import { onMtuDelivered, onMtuLost } from '../path/mtu-probes.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';
import type { Retransmit } from './retransmit.ts';

/** ACK delays of the peer beyond this make no sense; it keeps a hostile exponent from overflowing. */
const MAX_ACK_DELAY_MS = 60_000;
const DEFAULT_ACK_DELAY_EXPONENT = 3;

/** Handles an ACK of the peer, which came in a packet of key generation `generation` (0 outside 1-RTT). */
export function onAckFrame(
  state: ConnectionState,
  space: SpaceState,
  frame: AckFrame,
  generation: number,
  now: number,
): void {
  const largest = frame.ranges[0]!.largest;
  if (space.name === 'application') state.skipped.check(frame.ranges);
  const exponent =
    space.name === 'application'
      ? (state.peerParameters?.ackDelayExponent ?? DEFAULT_ACK_DELAY_EXPONENT)
      : DEFAULT_ACK_DELAY_EXPONENT;
  // RFC 9002 §6.2.1, Appendix A.7: this very ACK shows a client that it is validated, and so ends its backoff.
  if (space.name === 'handshake') state.recovery.setPeerCompletedAddressValidation();
  const outcome = state.recovery.onAckReceived(
    space.id,
    {
      largestAcknowledged: largest,
      ackDelayMs: Math.min(MAX_ACK_DELAY_MS, (frame.delay * (1 << exponent)) / 1000),
      ranges: frame.ranges,
      // Our packets are Not-ECT, as the socket cannot mark them: any count fails validation and is not used (RFC 9000 §13.4.2.1).
      ecnCe: undefined,
    },
    now,
  );
  if (space.name === 'application') state.keys.application?.acknowledged(largest, generation);
  space.onAcked(largest);
  for (const packet of outcome.acked) onPacketAcked(state, space, packet);
  for (const packet of outcome.late) onPacketAcked(state, space, packet);
  onPacketsLost(state, space, outcome.lost, now);
  if (outcome.lost.length === 0) state.observer.metricsUpdated?.(state.recovery, now);
}

function onPacketAcked(state: ConnectionState, space: SpaceState, packet: SentPacket<Retransmit>): void {
  if (space.name === 'application') onMtuDelivered(state, packet);
  for (const retransmit of packet.retransmits) {
    switch (retransmit.kind) {
      case 'stream-set':
        state.streams.onDelivered(retransmit);
        break;
      case 'ack':
        space.ack.onAckDelivered(retransmit.largest);
        break;
      case 'crypto':
        space.cryptoOut.acked(retransmit.offset, retransmit.length);
        break;
      case 'retireConnectionId':
        state.remoteIds.acked(retransmit.sequence);
        break;
      case 'handshakeDone':
        state.handshake.onDoneAcked();
        break;
      case 'newConnectionId':
        state.localIds.acked(retransmit.sequence);
        break;
      case 'mtuProbe':
      case 'ackFrequency':
        break;
      default:
        retransmit satisfies never;
    }
  }
}

/** Brings back what lost packets meant. */
export function onPacketsLost(
  state: ConnectionState,
  space: SpaceState,
  lost: readonly SentPacket<Retransmit>[],
  now: number,
): void {
  for (const packet of lost) {
    state.observer.packetLost?.(space.name, packet.packetNumber, packet.octets, now);
    for (const retransmit of packet.retransmits) requeue(state, space, retransmit);
  }
  if (lost.length > 0 && space.name === 'application') onMtuLost(state, lost, now);
  if (lost.length > 0) state.observer.metricsUpdated?.(state.recovery, now);
}

/** Queues again what a packet carried, unless it has become pointless. */
export function requeue(state: ConnectionState, space: SpaceState, retransmit: Retransmit): void {
  switch (retransmit.kind) {
    case 'stream-set':
      state.streams.onLost(retransmit);
      break;
    case 'crypto':
      space.cryptoOut.lost(retransmit.offset, retransmit.length);
      break;
    case 'handshakeDone':
      state.handshake.queueDone();
      break;
    case 'newConnectionId':
      state.localIds.lost(retransmit.sequence);
      break;
    case 'retireConnectionId':
      state.remoteIds.lost(retransmit.sequence);
      break;
    case 'ackFrequency':
      state.ackRequest.onLost();
      break;
    case 'mtuProbe':
      // Path MTU discovery decides whether to send another (RFC 9000 §14.4).
      break;
    case 'ack':
      // The ranges are still unreported: the next ACK names them.
      break;
    default:
      retransmit satisfies never;
  }
}
