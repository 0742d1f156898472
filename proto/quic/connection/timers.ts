import type { PacketSpace } from '../recovery/index.ts';
import { onValidationFailed, releaseIds } from './path/migration.ts';
import { onMtuTimeout } from './path/mtu-probes.ts';
import { onPacketsLost, requeue } from './send/acks.ts';
import { hasKeys } from './send/datagram-draft.ts';
import type { ConnectionState } from './state.ts';

/** One timer of a connection. Times are milliseconds in the clock of `now`. */
interface Timer {
  readonly name: string;
  /** It runs while the connection is open, or while it is closing and draining. */
  readonly during: 'open' | 'ending';
  /** When it goes off; `undefined` while it does not run. Changes nothing. */
  at(state: ConnectionState): number | undefined;
  /** What then happens. More packets may want to be sent after it. */
  fire(state: ConnectionState, now: number): void;
}

/** All timers of a connection. Those that are due together go off in this order. */
export const TIMERS: readonly Timer[] = [
  {
    name: 'close',
    during: 'ending',
    at: ({ close }) => close.deadline,
    fire: (state, now) => state.end(state.close.reason!, now),
  },
  {
    name: 'idle',
    during: 'open',
    at: idleAt,
    fire: (state, now) => state.end({ kind: 'idle-timeout' }, now),
  },
  {
    name: 'handshake',
    during: 'open',
    at: ({ handshake, config }) => handshake.deadline(config.handshakeTimeoutMs),
    fire: (state, now) => state.end({ kind: 'handshake-timeout' }, now),
  },
  {
    name: 'pacer',
    during: 'open',
    at: ({ pacedUntil }) => pacedUntil,
    fire: (state) => {
      state.pacedUntil = undefined;
    },
  },
  {
    name: 'keep-alive',
    during: 'open',
    at: keepAliveAt,
    fire: ({ spaces }) => spaces[2].queuePing(),
  },
  {
    name: 'blocked',
    during: 'open',
    at: blockedAt,
    fire: ({ streams }) => streams.queueBlockedFrames(),
  },
  {
    // The ACK itself goes with the next datagram: the space knows that it is due.
    name: 'ack',
    during: 'open',
    at: ackAt,
    fire: () => {},
  },
  {
    name: 'retired-ids',
    during: 'open',
    at: ({ localIds }) => localIds.lingeringDeadline,
    fire: ({ localIds }, now) => localIds.expireLingering(now),
  },
  {
    name: 'previous-keys',
    during: 'open',
    at: ({ keys }) => keys.application?.dropPreviousAt,
    fire: ({ keys }) => keys.application?.dropPrevious(),
  },
  { name: 'paths', during: 'open', at: ({ paths }) => paths.deadline(), fire: onPathTimer },
  {
    name: 'recovery',
    during: 'open',
    at: (state) => state.recovery.deadline(state.amplificationLimited),
    fire: onRecoveryTimer,
  },
];

/**
 * The next time to call `handleDeadline`: the least of all timers. It is asked after every packet, and calls through the table
 * would cost more than what they call, so the timers of an open connection stand here once more; a test compares them.
 */
export function nextDeadline(state: ConnectionState): number | undefined {
  const { close, handshake, config, localIds, keys, paths, recovery } = state;
  if (!close.isOpen) return close.deadline;
  let earliest = earlier(Number.POSITIVE_INFINITY, idleAt(state));
  if (!handshake.complete) earliest = earlier(earliest, handshake.deadline(config.handshakeTimeoutMs));
  earliest = earlier(earliest, state.pacedUntil);
  earliest = earlier(earliest, keepAliveAt(state));
  earliest = earlier(earliest, blockedAt(state));
  earliest = earlier(earliest, ackAt(state));
  earliest = earlier(earliest, localIds.lingeringDeadline);
  earliest = earlier(earliest, keys.application?.dropPreviousAt);
  earliest = earlier(earliest, paths.deadline());
  earliest = earlier(earliest, recovery.deadline(state.amplificationLimited));
  return earliest === Number.POSITIVE_INFINITY ? undefined : earliest;
}

function earlier(earliest: number, at: number | undefined): number {
  return at !== undefined && at < earliest ? at : earliest;
}

/** Fires what is due at `now`; more packets may want to be sent after it. */
export function handleDeadline(state: ConnectionState, now: number): void {
  const during = duringOf(state);
  for (const timer of TIMERS) {
    if (timer.during !== during) continue;
    const at = timer.at(state);
    if (at === undefined || at > now) continue;
    timer.fire(state, now);
    if (duringOf(state) !== during) return;
  }
}

function duringOf({ close }: ConnectionState): Timer['during'] | undefined {
  if (close.isOpen) return 'open';
  return close.isEnding ? 'ending' : undefined;
}

function idleAt({ idle, recovery }: ConnectionState): number | undefined {
  return idle.deadline(recovery.ptoMs());
}

function keepAliveAt({ config, handshake, idle, spaces }: ConnectionState): number | undefined {
  const interval = config.keepAliveIntervalMs;
  if (interval <= 0 || !handshake.complete || spaces[2].pingDue) return undefined;
  return idle.keepAliveAt(interval);
}

/** Half the idle timeout after the last sign of life, when flow control alone keeps us silent (RFC 9000 §4.1). */
function blockedAt(state: ConnectionState): number | undefined {
  const { streams, recovery, idle } = state;
  if (!streams.isBlocked || state.amplificationLimited || recovery.hasAckElicitingInFlight())
    return undefined;
  // What is due already goes with the next datagram.
  return streams.hasPending() ? undefined : idle.halfDeadline(recovery.ptoMs());
}

/** When an ACK must go; none while it could not be sent anyway. */
function ackAt(state: ConnectionState): number | undefined {
  if (state.keys.application === undefined || state.amplificationLimited) return undefined;
  return state.spaces[2].ack.deadline();
}

function onPathTimer(state: ConnectionState, now: number): void {
  // The path in use first: it may go back to another one that is about to be given up.
  const { active } = state.paths;
  if (active.onDeadline(now)) onValidationFailed(state, active, now);
  for (const path of [...state.paths.others]) {
    if (path.onDeadline(now)) onValidationFailed(state, path, now);
    if (path.expireId(now)) releaseIds(state);
  }
}

function onRecoveryTimer(state: ConnectionState, now: number): void {
  const outcome = state.recovery.onDeadline(now, state.amplificationLimited);
  if (outcome.type === 'lost') {
    onPacketsLost(state, state.spaces[outcome.space], outcome.lost, now);
    return;
  }
  if (outcome.type !== 'probe') return;
  onMtuTimeout(state, now);
  probe(state, outcome.space, 2);
  // RFC 9002 §6.2.4: the other spaces go along. Else an Initial that the window keeps back would wait for Handshake
  // packets that the peer cannot read without it, and a request for a probe timer that only the end of the handshake sets.
  for (const space of state.spaces) {
    const { id } = space;
    if (id === outcome.space || !hasKeys(state, space)) continue;
    if (space.cryptoOut.hasPending || state.recovery.hasAckElicitingInFlight(id)) probe(state, id, 1);
  }
}

/** Queues a probe of a space: what is oldest in flight, sent again, or a PING. */
function probe(state: ConnectionState, id: PacketSpace, packets: number): void {
  const space = state.spaces[id];
  space.queueProbes(packets);
  for (const retransmit of state.recovery.oldestRetransmits(id)) requeue(state, space, retransmit);
}
