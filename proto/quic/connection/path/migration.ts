import { TransportErrorCode } from '../../errors.ts';
import { type Address, type Path, sameAddress } from '../../types.ts';
import type { ConnectionState } from '../state.ts';
import { applyDatagramSize } from './mtu-probes.ts';
import { onlyPortChanged, type PathState } from './paths.ts';

/** kInitialRtt of RFC 9002 §6.2.2 gives this PTO for a path of which nothing is known. */
const UNKNOWN_PATH_PTO_MS = 999;
/** Probe timeouts after which a path is given up (RFC 9000 §8.2.4). */
const VALIDATION_PTOS = 3;

/** Tells owner and observer that another path is in use, or that the one in use was validated. */
function announcePath(state: ConnectionState, previous: Path, validated: boolean, now: number): void {
  const { path } = state.paths.active;
  state.events.push({ type: 'pathChanged', path, previous, validated });
  state.observer.pathChanged?.(path, previous, validated, now);
}

/** What was measured on the path before means nothing on this one (RFC 9000 §9.4, §14.3). */
export function beginPath(state: ConnectionState, now: number): void {
  state.mtu.reset();
  applyDatagramSize(state);
  state.recovery.onPathChanged(now);
}

/** Probe timeouts that a path which was left keeps its CID: until the new one is proved, or has failed and this one is back. */
const LEFT_PATH_PTOS = VALIDATION_PTOS + 1;

/** So many probe timeouts of a path that may be slower than the one in use, in milliseconds (RFC 9000 §8.2.4). */
function timeoutMs(state: ConnectionState, ptos: number): number {
  return ptos * Math.max(state.recovery.ptoMs(), UNKNOWN_PATH_PTO_MS);
}

/** Starts to validate a path with PATH_CHALLENGEs, repeated until one is answered or time is up. */
export function startValidation(state: ConnectionState, path: PathState, now: number): void {
  path.startValidation(now, state.recovery.ptoMs(), timeoutMs(state, VALIDATION_PTOS));
}

/** Retires the CIDs of paths that are gone or have kept theirs long enough. */
export function releaseIds({ remoteIds, paths }: ConnectionState): void {
  remoteIds.releaseExcept(paths.others.map(({ destination }) => destination));
}

/** A path that was not known before. The one that makes room for it lets its CID go. */
export function addPath(state: ConnectionState, path: Path, via: Address | undefined): PathState {
  const added = state.paths.add(path, via);
  releaseIds(state);
  return added;
}

/**
 * The peer's CID for a packet on a path that is not in use; `undefined` when all that the peer gave were seen on other paths:
 * then nothing may be sent there (RFC 9000 §9.5).
 */
export function destinationOf({ remoteIds }: ConnectionState, path: PathState): Uint8Array | undefined {
  if (!path.ownId || remoteIds.current.length === 0) return remoteIds.current;
  // RFC 9000 §5.1.2: one that the peer has retired meanwhile is used no more.
  if (path.destination !== undefined && !remoteIds.has(path.destination)) path.setDestination(undefined);
  if (path.destination === undefined) path.setDestination(remoteIds.bind());
  return path.destination;
}

/** Puts `path` into use, under `connectionId` when it is to have another CID; the path that is left keeps its own a while. */
export function switchTo(
  state: ConnectionState,
  path: PathState,
  connectionId: Uint8Array | undefined,
  now: number,
): PathState {
  const { remoteIds, paths } = state;
  const left = remoteIds.current;
  const previous = paths.activate(path);
  if (connectionId !== undefined) {
    // What shared the CID so far may not share the new one.
    for (const other of paths.others) other.requireOwnId();
    remoteIds.useBound(connectionId);
    previous.leave(left, now + timeoutMs(state, LEFT_PATH_PTOS));
  }
  state.counters.pathChanges += 1;
  releaseIds(state);
  return previous;
}

/** A 1-RTT packet of the client came by a path that is not in use, to our CID number `sequence`. */
export function onPacketElsewhere(
  state: ConnectionState,
  path: PathState,
  sequence: number | undefined,
  newestNonProbing: boolean,
  now: number,
): void {
  const { active } = state.paths;
  if (sequence !== undefined && sequence !== active.peerUses) path.requireOwnId();
  if (newestNonProbing) {
    // RFC 9000 §9.6.2: to another address of ours we move only when the way back is proved; the client's own may change at once.
    if (path.validated || sameAddress(path.path.local, active.path.local)) {
      followPeer(state, path, path.ownId, now);
      return;
    }
    path.followDue = true;
  }
  // RFC 9000 §9.6.2, §9.6.3: the way to the client is asked as well, before it is needed.
  if (!path.validated && !path.isValidating) startValidation(state, path, now);
}

/**
 * The peer's packets come from another address, in a packet that was no probe and is the newest: follow it
 * (RFC 9000 §9.3). `newConnectionId` says that the peer also changed the CID it uses, which is a migration by intent:
 * then so do we (§9.5).
 */
function followPeer(state: ConnectionState, path: PathState, newConnectionId: boolean, now: number): void {
  // Without a spare CID the one in use goes on: to be heard beats not to be linked.
  const previous = switchTo(state, path, newConnectionId ? destinationOf(state, path) : undefined, now);
  if (!onlyPortChanged(previous.path, path.path)) beginPath(state, now);
  if (!path.validated || path.sizeUnproved) startValidation(state, path, now);
  // Being asked whether it is still there, as the path that was left, it has just answered.
  else path.stopValidation();
  // RFC 9000 §9.3.3: the old path is asked too, so that a packet copied by an attacker does not steal the connection.
  if (previous.validated) startValidation(state, previous, now);
  announcePath(state, previous.path, path.validated, now);
}

/**
 * Server: the client's address changed within the handshake, as when its NAT forgot it. No client migrates by intent before the
 * handshake is confirmed (RFC 9000 §9), so nothing is to be hidden and the CID stays. What is sent to the new address is limited as to
 * any that is not proved (§8.1) until the client answers a PATH_CHALLENGE, which has to wait for the handshake.
 */
export function followInHandshake(state: ConnectionState, path: PathState, now: number): void {
  const previous = switchTo(state, path, undefined, now);
  // From here on a Handshake packet may answer what went to the new address: it proves the first one no longer.
  previous.first = false;
  if (!onlyPortChanged(previous.path, path.path)) beginPath(state, now);
  announcePath(state, previous.path, path.validated, now);
}

/** Server: the handshake is complete; an address that the client took up on the way is still to be proved. */
export function validateAfterHandshake(state: ConnectionState, now: number): void {
  const { active } = state.paths;
  if (!active.validated && !active.isValidating) startValidation(state, active, now);
}

/**
 * Server: a Handshake packet came from an address that is not known, and its keys are gone. A client that has not heard that the
 * handshake is confirmed may repeat nothing else (RFC 9002 §6.2.1), so if its NAT forgot it just now, all that it sends is of
 * this kind and what we send goes to the old address. The new one is asked, as either side may at any time (RFC 9000 §8.2);
 * only the answer moves the connection. The packet may be forged: one such path at a time, within the limit of §8.1.
 */
export function probeUnconfirmedClient(
  state: ConnectionState,
  path: Path,
  via: Address | undefined,
  octets: number,
  now: number,
): void {
  if (state.isClient || !state.handshake.complete || state.handshake.doneAcked) return;
  if (state.paths.find(path) !== undefined || state.paths.others.some(({ isValidating }) => isValidating))
    return;
  const added = addPath(state, path, via);
  added.onReceived(octets);
  startValidation(state, added, now);
}

export function onPathResponse(state: ConnectionState, data: Uint8Array, now: number): void {
  const wasValid = state.paths.active.validated;
  const path = state.paths.onResponse(data);
  if (path === undefined) return;
  // RFC 9000 §8.2.3: now that more may be sent, a datagram of 1200 octets has to pass as well.
  if (path.sizeUnproved) startValidation(state, path, now);
  if (path !== state.paths.active) {
    if (path.followDue) followPeer(state, path, path.ownId, now);
    return;
  }
  if (wasValid) return;
  const previous = state.paths.fallback?.path ?? path.path;
  announcePath(state, previous, true, now);
}

/** A path was not validated in time: go back to the last one that was, or end (RFC 9000 §9.3.2). */
export function onValidationFailed(state: ConnectionState, path: PathState, now: number): void {
  const fallback = state.paths.fallback;
  // A path that was proved stays, silent as it is: to be there beats ending (RFC 9000 §9.3.2).
  if (path === fallback || (path === state.paths.active && path.validated && !path.sizeUnproved)) return;
  if (path !== state.paths.active) {
    state.paths.remove(path);
    releaseIds(state);
    return;
  }
  if (fallback === undefined || !fallback.validated) {
    state.end(
      {
        kind: 'transport',
        by: 'local',
        code: TransportErrorCode.NO_VIABLE_PATH,
        frameType: 0,
        reason: 'the new path could not be validated and there is none to go back to',
      },
      now,
    );
    return;
  }
  // The CID that was seen on the failed path is not shown on this one, if it had another (RFC 9000 §9.5).
  switchTo(state, fallback, fallback.ownId ? destinationOf(state, fallback) : undefined, now);
  state.paths.remove(path);
  releaseIds(state);
  beginPath(state, now);
  announcePath(state, path.path, true, now);
}

/**
 * Client: moves to another local address at once and validates the path (RFC 9000 §9.2). False when the handshake
 * is not confirmed, the server forbids it, or gave no spare CID to use there.
 */
export function migrate(state: ConnectionState, local: Address, now: number): boolean {
  if (!state.isClient || !state.handshake.confirmed || !state.close.isOpen) return false;
  const { active } = state.paths;
  if (sameAddress(active.path.local, local)) return true;
  // RFC 9000 §18.2: that is about the address of the handshake only.
  if (state.peerParameters?.disableActiveMigration && !state.atPreferredAddress) return false;
  // RFC 9000 §9.5: with an empty CID an observer could tell that it is the same connection.
  if (state.remoteIds.current.length === 0) return false;
  const target = { local, remote: active.path.remote };
  const known = state.paths.find(target);
  const path = known ?? addPath(state, target, active.via);
  path.requireOwnId();
  const connectionId = destinationOf(state, path);
  if (connectionId === undefined) {
    if (known === undefined) state.paths.remove(path);
    return false;
  }
  // The server's address was proved by the handshake; it is our own that changes, so nothing limits what we send.
  path.liftLimit();
  switchTo(state, path, connectionId, now);
  beginPath(state, now);
  startValidation(state, path, now);
  announcePath(state, active.path, false, now);
  return true;
}
