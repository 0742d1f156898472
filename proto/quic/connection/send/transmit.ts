import type { Writer } from '../../../wire/index.ts';
import { TransportErrorCode } from '../../errors.ts';
import { writeConnectionClose } from '../../frames/index.ts';
import { MIN_INITIAL_DATAGRAM_OCTETS } from '../../packet/index.ts';
import type { Datagram } from '../../types.ts';
import type { CloseFrame } from '../close-state.ts';
import { discardInitial } from '../handshake/handshake.ts';
import { destinationOf } from '../path/migration.ts';
import { draftMtuProbe } from '../path/mtu-probes.ts';
import type { PathState } from '../path/paths.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';
import { DatagramDraft, hasKeys } from './datagram-draft.ts';
import { hasElicitingWork, writeAckFrame, writeElicitingFrames, writePathFrames } from './packet-builder.ts';

/** Probe timeouts that keys of the last phase are kept (RFC 9001 §6.5). */
const PREVIOUS_KEYS_PTOS = 3;

/** The next datagram to send, or `undefined`. */
export function transmitDatagram(state: ConnectionState, now: number): Datagram | undefined {
  if (!state.close.isOpen) {
    state.startCloseTimer(now);
    return transmitClose(state, now);
  }
  state.pacedUntil = undefined;
  maybeUpdateKeys(state, now);
  const mtuProbe = draftMtuProbe(state, now);
  if (mtuProbe !== undefined) return finish(state, state.paths.active, mtuProbe, now);
  const datagram = transmitProbe(state, now) ?? transmitOnActivePath(state, now);
  if (datagram === undefined && state.pacedUntil === undefined) state.recovery.onNothingToSend();
  return datagram;
}

/** Updates keys when one has protected enough packets (RFC 9001 §6.6). */
function maybeUpdateKeys(state: ConnectionState, now: number): void {
  const keys = state.keys.application;
  if (keys === undefined || !state.handshake.confirmed) return;
  if (keys.updateDue(state.config.keyUpdatePackets)) keys.update();
  // RFC 9001 §6.5: three probe timeouts for packets of the last phase that are late.
  if (keys.hasPrevious && keys.dropPreviousAt === undefined)
    keys.keepPreviousUntil(now + PREVIOUS_KEYS_PTOS * state.recovery.ptoMs());
}

/** PATH_CHALLENGE and PATH_RESPONSE for paths that are not in use. */
function transmitProbe(state: ConnectionState, now: number): Datagram | undefined {
  if (!state.handshake.complete || !state.recovery.canSendElsewhere(MIN_INITIAL_DATAGRAM_OCTETS))
    return undefined;
  for (const path of state.paths.others) {
    if (!path.hasProbes) continue;
    const room = Math.min(state.datagramSize, path.allowance);
    const destination = room < state.minSendOctets ? undefined : destinationOf(state, path);
    if (destination === undefined) continue;
    const draft = new DatagramDraft(state, room);
    const payload = draft.begin(state.spaces[2], destination)!;
    writePathFrames(state, path, draft.writer, payload, now);
    draft.end();
    return finish(state, path, draft, now);
  }
  return undefined;
}

function transmitOnActivePath(state: ConnectionState, now: number): Datagram | undefined {
  const path = state.paths.active;
  const room = Math.min(state.datagramSize, path.allowance);
  if (room < state.minSendOctets || isQuiet(state, now)) return undefined;
  const draft = new DatagramDraft(state, room);
  for (const space of state.spaces) writePacket(state, space, draft, room, now);
  return finish(state, path, draft, now);
}

/** Whether no space has anything to send: every turn ends with it, and need not begin a datagram for that. */
function isQuiet(state: ConnectionState, now: number): boolean {
  for (const space of state.spaces) {
    // Without keys it has no state either, and must not be given any.
    if (!hasKeys(state, space)) continue;
    space.queuePingAfterAckRun();
    if (space.ack.due(now) || hasElicitingWork(state, space)) return false;
  }
  return true;
}

function writePacket(
  state: ConnectionState,
  space: SpaceState,
  draft: DatagramDraft,
  room: number,
  now: number,
): void {
  if (!hasKeys(state, space)) return;
  space.queuePingAfterAckRun();
  const eliciting = hasElicitingWork(state, space) && mayElicit(state, space, room, now);
  if (!eliciting && !space.ack.due(now)) return;
  const payload = draft.begin(space);
  if (payload === undefined) return;
  writeAckFrame(space, draft.writer, payload, now);
  if (eliciting) writeElicitingFrames(state, space, draft.writer, payload, now);
  draft.end();
}

/** Whether congestion control and the pacer let a full packet go; probes ask neither (RFC 9002 §7.5, §7.7). */
function mayElicit(state: ConnectionState, space: SpaceState, room: number, now: number): boolean {
  if (space.probes > 0) return true;
  if (!state.recovery.canSend(room)) return false;
  const at = state.recovery.paceAt(room, now);
  if (at <= now) return true;
  state.pacedUntil = at;
  return false;
}

/** Fills, seals and accounts for what was written; `undefined` when that is nothing. */
function finish(
  state: ConnectionState,
  path: PathState,
  draft: DatagramDraft,
  now: number,
): Datagram | undefined {
  const packets = draft.seal();
  if (packets.length === 0) return undefined;
  const data = draft.take();
  let sentHandshake = false;
  const elsewhere = path !== state.paths.active;
  for (const { space, packetNumber, octets, inFlight, payload, frames } of packets) {
    state.recovery.onPacketSent(space.id, {
      packetNumber,
      sentAtMs: now,
      octets,
      ackEliciting: payload.ackEliciting,
      inFlight: inFlight && !elsewhere,
      mtuProbe: payload.mtuProbeOctets !== undefined,
      elsewhere,
      retransmits: payload.retransmits,
    });
    space.onSent(payload.ackEliciting);
    if (space.name === 'handshake') sentHandshake = true;
    if (space.name === 'application') space.nextPacketNumber = state.skipped.advance(space.nextPacketNumber);
    state.idle.onSent(payload.ackEliciting, now);
    state.counters.packetsSent += 1;
    state.observer.packetSent?.(space.name, packetNumber, octets, path.path, now, frames);
  }
  if (sentHandshake && state.isClient) discardInitial(state, now);
  return toDatagram(state, path, data);
}

function toDatagram(state: ConnectionState, path: PathState, data: Uint8Array): Datagram {
  path.onSent(data.length);
  state.counters.octetsSent += data.length;
  return path.via === undefined ? { data, path: path.path } : { data, path: path.path, via: path.via };
}

/** CONNECTION_CLOSE at every level that the peer may have keys for (RFC 9000 §10.2.3). */
function transmitClose(state: ConnectionState, now: number): Datagram | undefined {
  const frame = state.close.takeFrame();
  if (frame === undefined) return undefined;
  const path = state.paths.active;
  const room = Math.min(state.datagramSize, path.allowance);
  if (room < MIN_CLOSE_OCTETS) return undefined;
  const draft = new DatagramDraft(state, room);
  for (const space of state.spaces) {
    if (!hasKeys(state, space)) continue;
    // A server's 1-RTT packets are of no use before the client can read them, unless there is nothing else.
    if (draft.begin(space) === undefined) continue;
    const early = space.name !== 'application';
    const shown =
      early && frame.application
        ? { application: false, code: TransportErrorCode.APPLICATION_ERROR, frameType: 0, reason: '' }
        : frame;
    writeCloseWithin(draft.writer, shown);
    draft.end();
  }
  const packets = draft.seal();
  if (packets.length === 0) return undefined;
  for (const { space, packetNumber, octets, frames } of packets) {
    state.counters.packetsSent += 1;
    state.observer.packetSent?.(space.name, packetNumber, octets, path.path, now, frames);
  }
  const data = draft.take();
  state.close.onSent(data.length);
  return toDatagram(state, path, data);
}

/** Octets of a close reason that are sent at most, so that the packets of all levels fit into one datagram. */
const MAX_SENT_REASON_OCTETS = 256;

function writeCloseWithin(writer: Writer, frame: CloseFrame): void {
  writeConnectionClose(writer, frame, Math.min(writer.remaining, MAX_SENT_REASON_OCTETS));
}

/** A CONNECTION_CLOSE needs this much room: a short header with the longest CID, a tag and a small frame. */
const MIN_CLOSE_OCTETS = 64;
