import { PacketSpace } from '../recovery/index.ts';
import { onValidationFailed, releaseIds } from './path/migration.ts';
import { onMtuTimeout } from './path/mtu-probes.ts';
import { onPacketsLost, requeue } from './send/acks.ts';
import type { ConnectionState } from './state.ts';

/** Probe timeouts that closing and draining last (RFC 9000 §10.2), and that an idle timeout is at least (§10.1). */
const CLOSE_PTOS = 3;

/** Closing and draining end three probe timeouts after they began. */
export function startCloseTimer(state: ConnectionState, now: number): void {
  const { close } = state;
  if (close.phase !== 'closing' && close.phase !== 'draining') return;
  close.deadline ??= now + CLOSE_PTOS * state.recovery.ptoMs();
}

/** A packet went out: sending restarts the idle timer once per packet heard (RFC 9000 §10.1). */
export function onPacketSentTimers(state: ConnectionState, ackEliciting: boolean, now: number): void {
  state.lastSentAt = now;
  if (!ackEliciting || state.elicitedSinceReceive) return;
  state.elicitedSinceReceive = true;
  state.idleSince = now;
}

/** A packet of the peer was processed. */
export function onPacketReceivedTimers(state: ConnectionState, now: number): void {
  state.lastReceivedAt = now;
  state.idleSince = now;
  state.elicitedSinceReceive = false;
}

/** The smaller of both sides' offers, at least three probe timeouts; `undefined` when neither offers one. */
export function idleTimeoutMs(state: ConnectionState): number | undefined {
  const ours = state.config.maxIdleTimeoutMs;
  const theirs = state.peerParameters?.maxIdleTimeoutMs ?? 0;
  let timeout = ours > 0 && theirs > 0 ? Math.min(ours, theirs) : Math.max(ours, theirs);
  if (timeout === 0) return undefined;
  timeout = Math.max(timeout, CLOSE_PTOS * state.recovery.ptoMs());
  return timeout;
}

function idleDeadline(state: ConnectionState): number | undefined {
  const timeout = idleTimeoutMs(state);
  return timeout === undefined ? undefined : state.idleSince + timeout;
}

function keepAliveDeadline(state: ConnectionState): number | undefined {
  const interval = state.config.keepAliveIntervalMs;
  if (interval <= 0 || !state.complete || state.spaces[2].pingDue) return undefined;
  return Math.max(state.lastSentAt, state.lastReceivedAt) + interval;
}

/** Half the idle timeout after the last sign of life, when flow control alone keeps us silent (RFC 9000 §4.1). */
function blockedDeadline(state: ConnectionState): number | undefined {
  const { streams, recovery } = state;
  if (!streams.isBlocked || state.amplificationLimited || recovery.hasAckElicitingInFlight())
    return undefined;
  const timeout = idleTimeoutMs(state);
  // What is due already goes with the next datagram.
  return timeout === undefined || streams.hasPending() ? undefined : state.idleSince + timeout / 2;
}

function handshakeDeadline(state: ConnectionState): number | undefined {
  return state.complete ? undefined : state.createdAt + state.config.handshakeTimeoutMs;
}

/** When an ACK must go; none while it could not be sent anyway. */
function ackDeadline(state: ConnectionState): number | undefined {
  if (state.keys.application === undefined || state.amplificationLimited) return undefined;
  return state.spaces[2].ack.deadline();
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  return b === undefined || a < b ? a : b;
}

/** The next time to call `onDeadline`: the least of all timers. */
export function nextDeadline(state: ConnectionState): number | undefined {
  const { close } = state;
  if (close.phase === 'closed') return undefined;
  if (!close.isOpen) return close.deadline;
  let at = earliest(state.recovery.deadline(), idleDeadline(state));
  at = earliest(at, ackDeadline(state));
  at = earliest(at, handshakeDeadline(state));
  at = earliest(at, state.pacedUntil);
  at = earliest(at, keepAliveDeadline(state));
  at = earliest(at, blockedDeadline(state));
  at = earliest(at, state.paths.deadline());
  at = earliest(at, state.localIds.lingeringDeadline);
  return earliest(at, state.dropPreviousKeysAt);
}

const due = (at: number | undefined, now: number): boolean => at !== undefined && at <= now;

/** Does what is due at `now`; more packets may want to be sent after it. */
export function handleDeadline(state: ConnectionState, now: number): void {
  const { close } = state;
  if (close.phase === 'closed') return;
  if (!close.isOpen) {
    if (due(close.deadline, now) && close.reason) state.end(close.reason, now);
    return;
  }
  if (due(idleDeadline(state), now)) {
    state.end({ kind: 'idle-timeout' }, now);
    return;
  }
  if (due(handshakeDeadline(state), now)) {
    state.end({ kind: 'handshake-timeout' }, now);
    return;
  }
  if (due(state.pacedUntil, now)) state.pacedUntil = undefined;
  if (due(keepAliveDeadline(state), now)) state.spaces[2].pingDue = true;
  if (due(blockedDeadline(state), now)) state.streams.sayBlocked();
  state.localIds.expireLingering(now);
  if (due(state.dropPreviousKeysAt, now)) {
    state.dropPreviousKeysAt = undefined;
    state.keys.application?.dropPrevious();
  }
  handlePaths(state, now);
  if (due(state.recovery.deadline(), now)) handleRecovery(state, now);
}

function handlePaths(state: ConnectionState, now: number): void {
  // The path in use first: it may go back to another one that is about to be given up.
  const { active } = state.paths;
  if (active.onDeadline(now)) onValidationFailed(state, active, now);
  for (const path of [...state.paths.others]) {
    if (path.onDeadline(now)) onValidationFailed(state, path, now);
    if (path.expireId(now)) releaseIds(state);
  }
}

function handleRecovery(state: ConnectionState, now: number): void {
  const outcome = state.recovery.onDeadline(now);
  if (outcome.type === 'lost') {
    onPacketsLost(state, state.spaces[outcome.space], outcome.lost, now);
    return;
  }
  if (outcome.type !== 'probe') return;
  onMtuTimeout(state, now);
  probe(state, outcome.space, 2);
  // RFC 9002 §6.2.4: the other spaces go along. Else an Initial that the window keeps back would wait for Handshake
  // packets that the peer cannot read without it, and a request for a probe timer that only the end of the handshake sets.
  for (const { id, cryptoOut } of state.spaces) {
    if (id === outcome.space || !hasKeys(state, id)) continue;
    if (cryptoOut.hasPending || state.recovery.hasAckElicitingInFlight(id)) probe(state, id, 1);
  }
}

function hasKeys({ keys }: ConnectionState, id: PacketSpace): boolean {
  if (id === PacketSpace.APPLICATION) return keys.application !== undefined;
  return (id === PacketSpace.INITIAL ? keys.initial : keys.handshake) !== undefined;
}

/** Queues a probe of a space: what is oldest in flight, sent again, or a PING. */
function probe(state: ConnectionState, id: PacketSpace, packets: number): void {
  const space = state.spaces[id];
  space.probes = packets;
  for (const intent of state.recovery.oldestIntents(id)) requeue(state, space, intent);
}
