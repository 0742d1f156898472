import type { Writer } from '../../../wire/index.ts';
import {
  cryptoOverhead,
  datagramOverhead,
  writeCrypto,
  writeDatagram,
  writeHandshakeDone,
  writeNewConnectionId,
  writePathChallenge,
  writePathResponse,
  writePing,
  writeRetireConnectionId,
} from '../../frames/index.ts';
import { TAG_OCTETS } from '../../protection/index.ts';
import type { PathState } from '../path/paths.ts';
import type { ConnectionState, Intent, SpaceState } from '../state.ts';
import { MIN_INITIAL_DATAGRAM_OCTETS } from './datagram-draft.ts';

/** First octet, longest CID, longest packet number, tag, and the frame's own type and length: what a datagram pays at most. */
export const DATAGRAM_OVERHEAD_OCTETS = 1 + 20 + 4 + TAG_OCTETS + 3;
/** Octets of a frame of fixed shape at most: NEW_CONNECTION_ID with a CID of 20 octets is the largest. */
const MAX_SMALL_FRAME_OCTETS = 64;
const PATH_FRAME_OCTETS = 9;
/** A CRYPTO or DATAGRAM frame is begun only with this much room for it. */
const MIN_FRAME_ROOM = 16;
/** Packets without an ack-eliciting frame after which one gets a PING, so that the ACKs themselves are acknowledged (RFC 9000 §13.2.4). */
const ACK_ONLY_RUN = 32;
/** We send ACK delays in units of 2^3 microseconds, the default (RFC 9000 §18.2). */
const ACK_DELAY_EXPONENT = 3;

/** What was written into one packet. */
export interface Payload {
  readonly intents: Intent[];
  ackEliciting: boolean;
  /** PATH_CHALLENGE or PATH_RESPONSE: the datagram is filled up to 1200 octets (RFC 9000 §8.2.1, §8.2.2). */
  fillDatagram: boolean;
  /** The datagram is filled up to exactly this, to see whether it passes. */
  mtuProbeOctets?: number;
}

/** Writes an ACK when one is owed or rides along for free. */
export function writeAckFrame(
  state: ConnectionState,
  space: SpaceState,
  writer: Writer,
  payload: Payload,
  now: number,
): void {
  if (!space.ack.pending && !space.ack.due(now)) return;
  void state;
  const largest = space.ack.writeAck(writer, now, ACK_DELAY_EXPONENT);
  if (largest >= 0) payload.intents.push({ kind: 'ack', largest });
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
  if (space.name === 'application' && state.writable) writeApplicationData(state, writer, payload);
  const mustElicit = space.pingDue || (space.probes > 0 && !payload.ackEliciting);
  if (mustElicit && writer.remaining > 0) {
    if (!payload.ackEliciting) writePing(writer);
    payload.ackEliciting = true;
    space.pingDue = false;
  }
}

function writeCryptoFrames(space: SpaceState, writer: Writer, payload: Payload): void {
  while (space.cryptoOut.hasPending && writer.remaining >= MIN_FRAME_ROOM) {
    const overhead = cryptoOverhead(space.cryptoOut.nextOffset, writer.remaining);
    const piece = space.cryptoOut.take(writer.remaining - overhead);
    if (piece === undefined) return;
    writeCrypto(writer, piece.offset, piece.data);
    payload.intents.push({ kind: 'crypto', offset: piece.offset, length: piece.data.length });
    payload.ackEliciting = true;
  }
}

function writeControlFrames(state: ConnectionState, writer: Writer, payload: Payload, now: number): void {
  if (state.handshakeDoneDue && writer.remaining > 0) {
    writeHandshakeDone(writer);
    state.handshakeDoneDue = false;
    payload.intents.push({ kind: 'handshakeDone' });
    payload.ackEliciting = true;
  }
  if (!state.complete) return;
  writePathFrames(state, state.paths.active, writer, payload, now);
  writeConnectionIdFrames(state, writer, payload);
}

/** PATH_RESPONSEs and a PATH_CHALLENGE for the path that the packet takes. They are not repeated when lost. */
export function writePathFrames(
  state: ConnectionState,
  path: PathState,
  writer: Writer,
  payload: Payload,
  now: number,
): void {
  while (path.responses.length > 0 && writer.remaining >= PATH_FRAME_OCTETS) {
    writePathResponse(writer, path.responses.shift()!);
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
    payload.intents.push({ kind: 'retireConnectionId', sequence });
    payload.ackEliciting = true;
  }
  for (let issued = localIds.peekPending(); issued !== undefined; issued = localIds.peekPending()) {
    if (writer.remaining < MAX_SMALL_FRAME_OCTETS) return;
    const { sequence, connectionId, resetToken } = issued;
    writeNewConnectionId(
      writer,
      sequence,
      Math.min(localIds.retirePriorTo, sequence),
      connectionId,
      resetToken,
    );
    localIds.taken();
    payload.intents.push({ kind: 'newConnectionId', sequence });
    payload.ackEliciting = true;
  }
}

/** Streams and datagrams, each first in every other packet so that neither starves the other. */
function writeApplicationData(state: ConnectionState, writer: Writer, payload: Payload): void {
  if (state.datagramsFirst) writeDatagrams(state, writer, payload);
  if (state.streams.hasPending() && state.streams.writeFrames(writer, payload.intents))
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
  // RFC 9000 §13.2.4: who only receives learns by this alone which of its ACKs arrived.
  if (space.ackOnlySent >= ACK_ONLY_RUN && space.ack.pending) space.pingDue = true;
  if (space.cryptoOut.hasPending || space.pingDue || space.probes > 0) return true;
  if (space.name !== 'application') return false;
  if (state.handshakeDoneDue) return true;
  if (state.writable && (state.streams.hasPending() || state.datagramsOut.length > 0)) return true;
  if (!state.complete) return false;
  return (
    state.paths.active.hasProbes ||
    state.localIds.peekPending() !== undefined ||
    state.remoteIds.peekRetire() !== undefined
  );
}
