import { TlsAlertError } from '../../../tls/index.ts';
import { equalOctets, WireError } from '../../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';
import { decodeFrames } from '../../frames/index.ts';
import {
  type LongPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  type ParsedPacket,
  parsePacket,
  type ShortPacket,
} from '../../packet/index.ts';
import type { OpenedPacket } from '../../protection/index.ts';
import { type Address, type Datagram, sameAddress } from '../../types.ts';
import { discardInitial } from '../handshake/handshake.ts';
import { onRetry, onVersionNegotiation } from '../handshake/retry.ts';
import type { DropReason } from '../observer.ts';
import { addPath, followInHandshake, onPacketElsewhere, probeUnconfirmedClient } from '../path/migration.ts';
import type { PathState } from '../path/paths.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';
import { handleFrame } from './frame-handlers.ts';

/** A datagram now, or a packet of one that came earlier than its keys. */
type Arrival = Pick<Datagram, 'data' | 'path'> & {
  readonly via?: Address | undefined;
  readonly receivedAt?: number;
};
type Protected = (LongPacket & { type: 'initial' | 'handshake' }) | ShortPacket;
type Usable = Exclude<ParsedPacket, { type: 'drop' | 'unknownVersion' }>;

/**
 * Handles a datagram of the peer: all its packets. Nothing in it can make this throw. `first` is what `parsePacket` said of its first packet,
 * where its owner had to look for the connection by it.
 */
export function receiveDatagram(
  state: ConnectionState,
  datagram: Datagram,
  now: number,
  first?: ParsedPacket,
): void {
  const { data } = datagram;
  state.counters.octetsReceived += data.length;
  state.paths.find(datagram.path)?.onReceived(data.length);
  if (!state.close.isOpen) {
    state.close.onDatagram(data.length);
    state.startCloseTimer(now);
    state.drop('connection-closed', data.length, now);
    return;
  }
  const keysBefore = keyCount(state);
  receivePackets(state, datagram, data, now, first);
  if (keyCount(state) !== keysBefore && !state.undecrypted.isEmpty) {
    for (const kept of state.undecrypted.takeAll()) receivePackets(state, kept, kept.data, now);
  }
}

/** Grows with every step that opens more packets. A server completes and drops its Handshake keys in one step: they count on. */
function keyCount(state: ConnectionState): number {
  const { keys } = state;
  return (
    (keys.handshake || keys.handshakeDiscarded ? 1 : 0) +
    (keys.application ? 1 : 0) +
    (state.handshake.complete ? 1 : 0)
  );
}

function receivePackets(
  state: ConnectionState,
  datagram: Arrival,
  data: Uint8Array,
  now: number,
  first?: ParsedPacket,
): void {
  let at = 0;
  let destination: Uint8Array | undefined;
  let parsed = first;
  while (at < data.length && state.close.isOpen) {
    const header = parsed ?? parsePacket(data, at, state.localSourceId.length, state.config.greaseQuicBit);
    parsed = undefined;
    if (header.type === 'drop') {
      state.drop('malformed-header', data.length - at, now);
      return;
    }
    if (header.type === 'unknownVersion') {
      state.drop('unsupported-version', data.length - at, now);
      return;
    }
    const end = header.end;
    destination ??= header.destinationConnectionId;
    // RFC 9000 §12.2: what is coalesced belongs to one connection and one CID.
    if (at > 0 && !equalOctets(destination, header.destinationConnectionId))
      state.drop('wrong-connection-id', end - at, now);
    else receiveGuarded(state, datagram, header, now);
    at = end;
  }
}

/** The one boundary where an error of the peer becomes a close. */
function receiveGuarded(state: ConnectionState, datagram: Arrival, header: Usable, now: number): void {
  try {
    receivePacket(state, datagram, header, now);
  } catch (error) {
    state.fail(asTransportError(error), now);
  }
}

export function asTransportError(error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  if (error instanceof TlsAlertError)
    return new TransportError(error.transportErrorCode, error.message, 0x06);
  if (error instanceof WireError)
    return new TransportError(TransportErrorCode.FRAME_ENCODING_ERROR, error.message);
  // A fault of ours: the connection ends, the process and its other connections go on.
  const reason = error instanceof Error ? error.message : 'unknown';
  return new TransportError(TransportErrorCode.INTERNAL_ERROR, `internal error: ${reason}`);
}

function receivePacket(state: ConnectionState, datagram: Arrival, header: Usable, now: number): void {
  switch (header.type) {
    case 'versionNegotiation':
      onVersionNegotiation(state, header, now);
      return;
    case 'retry':
      onRetry(state, header, datagram.data, now);
      return;
    case 'zeroRtt':
      // We never accept early data, so a 0-RTT packet has no keys and never will.
      state.drop('keys-unavailable', header.end - header.start, now);
      return;
    case 'initial':
    case 'handshake':
      receiveProtected(state, datagram, header as Protected, now);
      return;
    case 'oneRtt':
      receiveProtected(state, datagram, header, now);
      return;
  }
}

function spaceOf(state: ConnectionState, type: Protected['type']): SpaceState {
  if (type === 'initial') return state.spaces[0];
  return type === 'handshake' ? state.spaces[1] : state.spaces[2];
}

function receiveProtected(state: ConnectionState, datagram: Arrival, header: Protected, now: number): void {
  const octets = header.end - header.start;
  const refusal = refuse(state, datagram, header);
  if (refusal !== undefined) {
    state.drop(refusal, octets, now);
    return;
  }
  const space = spaceOf(state, header.type);
  const keys = readyKeys(state, header.type);
  if (keys === 'discarded') {
    if (header.type === 'handshake')
      probeUnconfirmedClient(state, datagram.path, datagram.via, datagram.data.length, now);
    state.drop('keys-discarded', octets, now);
    return;
  }
  if (keys === 'missing') {
    const { path, via } = datagram;
    const data = datagram.data.subarray(header.start, header.end);
    const kept = state.undecrypted.push({ data, path, via, receivedAt: datagram.receivedAt ?? now });
    if (!kept) state.drop('buffer-full', octets, now);
    return;
  }
  const expected = space.ack.largestReceived + 1;
  const opened = keys.open(datagram.data, header.start, header.packetNumberAt, header.end, expected);
  if (opened === undefined) {
    onUndecryptable(state, datagram, octets, now);
    return;
  }
  if (space.ack.isDuplicate(opened.packetNumber)) {
    state.drop('duplicate', octets, now);
    return;
  }
  processPacket(state, datagram, header, space, opened, now);
}

/** Reasons to drop a packet before it is opened. */
function refuse(state: ConnectionState, datagram: Arrival, header: Protected): DropReason | undefined {
  // RFC 9000 §14.1: a server drops Initials in datagrams that are too small.
  if (header.type === 'initial' && !state.isClient && datagram.data.length < MIN_INITIAL_DATAGRAM_OCTETS)
    return 'small-initial';
  // RFC 9000 §17.2.2: a server has no token to send.
  if (header.type === 'initial' && state.isClient && header.token.length > 0) return 'malformed-header';
  const active = state.paths.active.path;
  if (state.isClient) {
    // RFC 9000 §9: a server does not move; what comes from elsewhere is not its.
    if (!isOfServer(state, datagram.path.remote)) return 'wrong-address';
  } else if (!state.handshake.complete && !sameAddress(datagram.path.local, active.local))
    return 'wrong-address';
  // RFC 9000 §7.2: the peer keeps the Source CID of its first packet.
  if (header.type !== 'oneRtt' && state.peerSourceId !== undefined)
    if (!equalOctets(header.sourceConnectionId, state.peerSourceId)) return 'wrong-connection-id';
  return undefined;
}

/** The server's address, the one before it moved us, or the one it wants us at (RFC 9000 §9.6). */
function isOfServer(state: ConnectionState, remote: Address): boolean {
  const { active, others } = state.paths;
  if (sameAddress(remote, active.path.remote)) return true;
  return others.some((other) => sameAddress(remote, other.path.remote));
}

interface Opener {
  open(
    data: Uint8Array,
    start: number,
    packetNumberAt: number,
    end: number,
    expected: number,
  ): OpenedPacket | undefined;
}

function readyKeys(state: ConnectionState, type: Protected['type']): Opener | 'missing' | 'discarded' {
  const { keys } = state;
  if (type === 'initial') return keys.initial?.receive ?? 'discarded';
  if (type === 'handshake')
    return keys.handshake?.receive ?? (keys.handshakeDiscarded ? 'discarded' : 'missing');
  // RFC 9001 §5.7: a server does not process 1-RTT packets before the handshake is complete.
  if (keys.application === undefined || (!state.isClient && !state.handshake.complete)) return 'missing';
  return keys.application;
}

function onUndecryptable(state: ConnectionState, datagram: Arrival, octets: number, now: number): void {
  if (state.remoteIds.isStatelessReset(datagram.data)) {
    state.end({ kind: 'stateless-reset' }, now);
    return;
  }
  state.drop('undecryptable', octets, now);
}

function processPacket(
  state: ConnectionState,
  datagram: Arrival,
  header: Protected,
  space: SpaceState,
  opened: OpenedPacket,
  now: number,
): void {
  const octets = header.end - header.start;
  onAuthentic(state, header);
  state.counters.packetsReceived += 1;
  state.idle.onReceived(now);
  const { frames, ackEliciting, probing } = decodeFrames(
    opened.payload,
    header.type,
    state.isClient ? 'server' : 'client',
  );
  state.observer.packetReceived?.(space.name, opened.packetNumber, octets, datagram.path, now, frames);
  const path = pathOf(state, datagram);
  // RFC 9000 §8.1: it shows that the client has our Initial, which went to the address of its first packet and no other.
  if (header.type === 'handshake' && !state.isClient && path.first) path.setValidated();
  const packet = {
    space,
    packetNumber: opened.packetNumber,
    generation: generationOf(opened),
    destination: header.destinationConnectionId,
    path,
    now,
  };
  for (const frame of frames) {
    handleFrame(state, frame, packet);
    if (!state.close.isOpen) return;
  }
  // RFC 9000 §13.2.5: the wait for its keys is part of the delay that its acknowledgement tells.
  space.ack.onPacketReceived(opened.packetNumber, ackEliciting, datagram.receivedAt ?? now);
  if (header.type === 'handshake' && !state.isClient) {
    discardInitial(state, now);
  }
  followPath(state, datagram, header, space, opened.packetNumber, path, probing, now);
}

function generationOf(opened: OpenedPacket): number {
  return 'generation' in opened && typeof opened.generation === 'number' ? opened.generation : 0;
}

/** The first authentic packet of a server names the CID that the client shall use (RFC 9000 §7.2). */
function onAuthentic(state: ConnectionState, header: Protected): void {
  if (header.type === 'oneRtt' || state.peerSourceId !== undefined) return;
  state.peerSourceId = header.sourceConnectionId.slice();
  if (state.isClient) state.remoteIds.replaceFirst(state.peerSourceId);
}

/** The known path that the datagram came by, or a new one. */
function pathOf(state: ConnectionState, datagram: Arrival): PathState {
  const known = state.paths.find(datagram.path);
  if (known !== undefined) return known;
  // A client's socket may name its own address differently from what `connect` was told; that is no new path.
  if (state.isClient) return state.paths.active;
  const added = addPath(state, datagram.path, datagram.via);
  added.onReceived(datagram.data.length);
  return added;
}

function followPath(
  state: ConnectionState,
  datagram: Arrival,
  header: Protected,
  space: SpaceState,
  packetNumber: number,
  path: PathState,
  probing: boolean,
  now: number,
): void {
  const newest = packetNumber === space.ack.largestReceived;
  if (!state.isClient && !state.handshake.complete && newest && path !== state.paths.active)
    followInHandshake(state, path, now);
  if (header.type === 'oneRtt' && !state.isClient) {
    const sequence = state.localIds.sequenceOf(header.destinationConnectionId);
    if (path !== state.paths.active) onPacketElsewhere(state, path, sequence, newest && !probing, now);
    if (newest) path.peerUses = sequence ?? path.peerUses;
  }
  if (!newest || sameVia(path.via, datagram.via)) return;
  path.via = datagram.via;
  if (path === state.paths.active) state.events.push({ type: 'forwarderChanged', via: datagram.via });
}

function sameVia(a: Address | undefined, b: Address | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameAddress(a, b);
}
