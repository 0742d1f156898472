import { TransportErrorCode } from '../errors.ts';
import { type Address, type Path, sameAddress } from '../types.ts';
import { applyDatagramSize } from './mtu-probes.ts';
import { onlyPortChanged, type PathState } from './paths.ts';
import type { ConnectionState } from './state.ts';

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

/** Starts to validate a path with PATH_CHALLENGEs, repeated until one is answered or time is up. */
export function startValidation(state: ConnectionState, path: PathState, now: number): void {
  const ptoMs = state.recovery.ptoMs();
  path.startValidation(now, ptoMs, VALIDATION_PTOS * Math.max(ptoMs, UNKNOWN_PATH_PTO_MS));
}

/**
 * The peer's packets come from another address, in a packet that was no probe and is the newest: follow it
 * (RFC 9000 §9.3). `newConnectionId` says that the peer also changed the CID it uses, which is a migration by intent:
 * then so do we (§9.5).
 */
export function followPeer(
  state: ConnectionState,
  path: PathState,
  newConnectionId: boolean,
  now: number,
): void {
  const previous = state.paths.activate(path);
  state.counters.pathChanges += 1;
  if (newConnectionId) state.remoteIds.useSpare();
  if (!onlyPortChanged(previous.path, path.path)) beginPath(state, now);
  if (!path.validated) startValidation(state, path, now);
  // Being asked whether it is still there, as the path that was left, it has just answered.
  else path.stopValidation();
  // RFC 9000 §9.3.3: the old path is asked too, so that a packet copied by an attacker does not steal the connection.
  if (previous.validated) startValidation(state, previous, now);
  announcePath(state, previous.path, path.validated, now);
}

export function onPathResponse(state: ConnectionState, data: Uint8Array, now: number): void {
  const wasValid = state.paths.active.validated;
  const path = state.paths.onResponse(data);
  if (path === undefined || path !== state.paths.active) return;
  state.recovery.setAmplificationLimited(false, now);
  if (wasValid) return;
  const previous = state.paths.fallback?.path ?? path.path;
  announcePath(state, previous, true, now);
}

/** A path was not validated in time: go back to the last one that was, or end (RFC 9000 §9.3.2). */
export function onValidationFailed(state: ConnectionState, path: PathState, now: number): void {
  const fallback = state.paths.fallback;
  // An address that was proved stays, silent as it is: to be there beats ending (RFC 9000 §9.3.2).
  if (path === fallback || (path === state.paths.active && path.validated)) return;
  if (path !== state.paths.active) {
    state.paths.remove(path);
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
  state.paths.activate(fallback);
  state.paths.remove(path);
  state.counters.pathChanges += 1;
  beginPath(state, now);
  announcePath(state, path.path, true, now);
}

/**
 * Client: moves to another local address at once and validates the path (RFC 9000 §9.2). False when the handshake
 * is not confirmed, the server forbids it, or gave no spare CID to use there.
 */
export function migrate(state: ConnectionState, local: Address, now: number): boolean {
  if (!state.isClient || !state.confirmed || !state.close.isOpen) return false;
  const { active } = state.paths;
  if (sameAddress(active.path.local, local)) return true;
  if (state.peerParameters?.disableActiveMigration) return false;
  if (!state.remoteIds.useSpare()) return false;
  const target = { local, remote: active.path.remote };
  const path = state.paths.find(target) ?? state.paths.add(target, active.via);
  // The server's address was proved by the handshake; it is our own that changes, so nothing limits what we send.
  path.unlimited = true;
  state.paths.activate(path);
  state.counters.pathChanges += 1;
  beginPath(state, now);
  startValidation(state, path, now);
  announcePath(state, active.path, false, now);
  return true;
}
