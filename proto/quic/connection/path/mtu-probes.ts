import { writePing } from '../../frames/index.ts';
import { PacketSpace, type SentPacket } from '../../recovery/index.ts';
import { DatagramDraft } from '../send/datagram-draft.ts';
import type { Retransmit } from '../send/retransmit.ts';
import type { ConnectionState } from '../state.ts';

/** Probe timeouts in a row after which large packets are taken to vanish on the path. */
const BLACK_HOLE_PTOS = 2;

/** Tells congestion control the size that path MTU discovery found. */
export function applyDatagramSize(state: ConnectionState): void {
  state.recovery.setMaxDatagramOctets(state.datagramSize);
}

/**
 * A datagram with a probe of the path's MTU: PING and PADDING (RFC 9000 §14.4), once the path is proved and congestion
 * control has room. `undefined` when none is due.
 */
export function draftMtuProbe(state: ConnectionState, now: number): DatagramDraft | undefined {
  const { active } = state.paths;
  if (!state.handshake.confirmed || !active.validated || state.recovery.ptoCount > 0) return undefined;
  // What ends the handshake goes before what only makes it better later.
  if (state.handshake.doneDue || state.spaces[2].probes > 0) return undefined;
  const size = state.mtu.probeSize(now);
  if (size === 0 || !state.recovery.canSend(size)) return undefined;
  const draft = new DatagramDraft(state, size);
  const payload = draft.begin(state.spaces[2]);
  if (payload === undefined) return undefined;
  writePing(draft.writer);
  payload.ackEliciting = true;
  payload.mtuProbeOctets = size;
  payload.retransmits.push({ kind: 'mtuProbe', octets: size });
  draft.end();
  state.mtu.probeSent();
  return draft;
}

/** A 1-RTT packet was acknowledged. What an earlier path carried proves nothing of this one (RFC 9000 §14.2). */
export function onMtuDelivered(state: ConnectionState, packet: SentPacket<Retransmit>): void {
  if (!state.recovery.isOfThisPath(PacketSpace.APPLICATION, packet)) return;
  const retransmit = packet.retransmits[0];
  if (retransmit?.kind !== 'mtuProbe') state.mtu.delivered(packet.octets);
  else if (state.mtu.probeAcked(retransmit.octets)) applyDatagramSize(state);
}

/** 1-RTT packets were found lost at one time. */
export function onMtuLost(
  state: ConnectionState,
  lost: readonly SentPacket<Retransmit>[],
  now: number,
): void {
  let largest = 0;
  for (const packet of lost) {
    if (!state.recovery.isOfThisPath(PacketSpace.APPLICATION, packet)) continue;
    const retransmit = packet.retransmits[0];
    if (retransmit?.kind === 'mtuProbe') state.mtu.probeLost(retransmit.octets);
    else largest = Math.max(largest, packet.octets);
  }
  if (state.mtu.lost(largest, now)) applyDatagramSize(state);
}

/** A probe timeout ran out: when that comes again and again, it may be the size that does not pass (RFC 8899 §4.3). */
export function onMtuTimeout(state: ConnectionState, now: number): void {
  if (state.recovery.ptoCount >= BLACK_HOLE_PTOS && state.mtu.blackHole(now)) applyDatagramSize(state);
}
