import type { Writer } from '../../../wire/index.ts';
import {
  cryptoOverhead,
  datagramOverhead,
  writeAckFrequency,
  writeCrypto,
  writeDatagram,
  writeHandshakeDone,
  writeImmediateAck,
  writeNewConnectionId,
  writePathChallenge,
  writePathResponse,
  writePing,
  writeRetireConnectionId,
} from '../../frames/index.ts';
import { MIN_INITIAL_DATAGRAM_OCTETS } from '../../packet/index.ts';
import { TAG_OCTETS } from '../../protection/index.ts';
import type { PathState } from '../path/paths.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';
import type { Payload } from './retransmit.ts';

/** First octet, longest CID, longest packet number, tag, and the frame's own type and length: what a datagram pays at most. */
export const DATAGRAM_OVERHEAD_OCTETS = 1 + 20 + 4 + TAG_OCTETS + 3;
/** Octets of a frame of fixed shape at most: NEW_CONNECTION_ID with a CID of 20 octets is the largest. */
const MAX_SMALL_FRAME_OCTETS = 64;
const PATH_FRAME_OCTETS = 9;
/** A CRYPTO or DATAGRAM frame is begun only with this much room for it. */
const MIN_FRAME_ROOM = 16;
/** We send ACK delays in units of 2^3 microseconds, the default (RFC 9000 §18.2). */
const ACK_DELAY_EXPONENT = 3;

/** Writes an ACK when one is owed or rides along for free. */
export function writeAckFrame(space: SpaceState, writer: Writer, payload: Payload, now: number): void {
  if (!space.ack.pending && !space.ack.due(now)) return;
  const largest = space.ack.writeAck(writer, now, ACK_DELAY_EXPONENT);
  if (largest >= 0) payload.retransmits.push({ kind: 'ack', largest });
}

/** Writes whatever ack-eliciting frames wait in a space. */
export function writeElicitingFrames(
  state: ConnectionState,
  space: SpaceState,
  writer: Writer,
  payload: Payload,
  now: number,
): void {
  if (space.name === 'application') writeControlFrames(state, writer, payload, now);
  writeCryptoFrames(space, writer, payload);
  if (space.name === 'application' && state.handshake.writable) writeApplicationData(state, writer, payload);
  const mustElicit = space.pingDue || (space.probes > 0 && !payload.ackEliciting);
  if (mustElicit && writer.remaining > 0) {
    if (!payload.ackEliciting) writePing(writer);
    payload.ackEliciting = true;
    space.onElicitingFrame();
  }
}

function writeCryptoFrames(space: SpaceState, writer: Writer, payload: Payload): void {
  while (space.cryptoOut.hasPending && writer.remaining >= MIN_FRAME_ROOM) {
    const overhead = cryptoOverhead(space.cryptoOut.nextOffset, writer.remaining);
    const piece = space.cryptoOut.take(writer.remaining - overhead);
    if (piece === undefined) return;
    writeCrypto(writer, piece.offset, piece.data);
    payload.retransmits.push({ kind: 'crypto', offset: piece.offset, length: piece.data.length });
    payload.ackEliciting = true;
  }
}

function writeControlFrames(state: ConnectionState, writer: Writer, payload: Payload, now: number): void {
  if (state.handshake.doneDue && writer.remaining > 0) {
    writeHandshakeDone(writer);
    state.handshake.onDoneSent();
    payload.retransmits.push({ kind: 'handshakeDone' });
    payload.ackEliciting = true;
  }
  if (!state.handshake.complete) return;
  writeAckRequests(state, writer, payload);
  writePathFrames(state, state.paths.active, writer, payload, now);
  writeConnectionIdFrames(state, writer, payload);
}

/** What the peer is to know of when to acknowledge (draft-ietf-quic-ack-frequency), where it offered to take that. */
function writeAckRequests(state: ConnectionState, writer: Writer, payload: Payload): void {
  const { ackRequest, recovery, datagramSize } = state;
  if (ackRequest.isDue && writer.remaining >= MAX_SMALL_FRAME_OCTETS) {
    writeAckFrequency(writer, ackRequest.take());
    payload.retransmits.push({ kind: 'ackFrequency' });
    payload.ackEliciting = true;
  }
  if (!ackRequest.isSent || writer.remaining === 0) return;
  // Where nothing more can be sent until an ACK comes, and where none came in time.
  if (state.spaces[2].probes === 0 && recovery.canSend(2 * datagramSize)) return;
  writeImmediateAck(writer);
  payload.ackEliciting = true;
}

/** PATH_RESPONSEs and a PATH_CHALLENGE for the path that the packet takes. They are not repeated when lost. */
export function writePathFrames(
  state: ConnectionState,
  path: PathState,
  writer: Writer,
  payload: Payload,
  now: number,
): void {
  while (writer.remaining >= PATH_FRAME_OCTETS) {
    const response = path.takeResponse();
    if (response === undefined) break;
    writePathResponse(writer, response);
    payload.ackEliciting = true;
    payload.fillDatagram = true;
  }
  if (!path.challengeDue || writer.remaining < PATH_FRAME_OCTETS) return;
  const full = path.allowance >= MIN_INITIAL_DATAGRAM_OCTETS;
  writePathChallenge(writer, path.takeChallenge(state.random, now, full));
  payload.ackEliciting = true;
  payload.fillDatagram = true;
}

function writeConnectionIdFrames(state: ConnectionState, writer: Writer, payload: Payload): void {
  const { localIds, remoteIds } = state;
  for (let sequence = remoteIds.peekRetire(); sequence !== undefined; sequence = remoteIds.peekRetire()) {
    if (writer.remaining < MAX_SMALL_FRAME_OCTETS) return;
    writeRetireConnectionId(writer, sequence);
    remoteIds.taken();
    payload.retransmits.push({ kind: 'retireConnectionId', sequence });
    payload.ackEliciting = true;
  }
  for (let issued = localIds.peekPending(); issued !== undefined; issued = localIds.peekPending()) {
    if (writer.remaining < MAX_SMALL_FRAME_OCTETS) return;
    const { sequence, connectionId } = issued;
    writeNewConnectionId(
      writer,
      sequence,
      Math.min(localIds.retirePriorTo, sequence),
      connectionId,
      localIds.resetToken(issued),
    );
    localIds.taken();
    payload.retransmits.push({ kind: 'newConnectionId', sequence });
    payload.ackEliciting = true;
  }
}

/** Streams and datagrams, each first in every other packet so that neither starves the other. */
function writeApplicationData(state: ConnectionState, writer: Writer, payload: Payload): void {
  if (state.datagramsFirst) writeDatagrams(state, writer, payload);
  if (state.streams.hasPending() && state.streams.writeFrames(writer, payload.retransmits))
    payload.ackEliciting = true;
  if (!state.datagramsFirst) writeDatagrams(state, writer, payload);
  if (state.datagramsOut.length > 0) state.datagramsFirst = !state.datagramsFirst;
}

function writeDatagrams(state: ConnectionState, writer: Writer, payload: Payload): void {
  for (let data = state.datagramsOut.peek(); data !== undefined; data = state.datagramsOut.peek()) {
    if (datagramOverhead(data.length) + data.length > writer.remaining) {
      // After a black hole what waited may fit no packet any more: it must not hold up the rest (RFC 9221 §5).
      if (data.length <= state.datagramSize - DATAGRAM_OVERHEAD_OCTETS) return;
      state.datagramsOut.shift();
      continue;
    }
    writeDatagram(writer, data);
    state.datagramsOut.shift();
    payload.ackEliciting = true;
  }
}

/** Whether a space has ack-eliciting frames to send. */
export function hasElicitingWork(state: ConnectionState, space: SpaceState): boolean {
  if (space.cryptoOut.hasPending || space.pingDue || space.probes > 0) return true;
  if (space.name !== 'application') return false;
  if (state.handshake.doneDue) return true;
  if (state.handshake.writable && (state.streams.hasPending() || state.datagramsOut.length > 0)) return true;
  if (!state.handshake.complete) return false;
  return (
    state.paths.active.hasProbes ||
    state.localIds.peekPending() !== undefined ||
    state.remoteIds.peekRetire() !== undefined
  );
}
