import { type CloseReason, DEFAULT_TRANSPORT_CONFIG, TransportErrorCode } from '../../../proto/quic/index.ts';
import { Violation } from '../violation.ts';
import { type Call, CLOSE_CODE } from '../workloads/call.ts';
import type { Ending } from '../workloads/work.ts';
import type { Role } from './streams.ts';

/** What went wrong around a call, as far as it can explain how the call ended. */
export interface Circumstances {
  /** Something kept packets from arriving: loss, a cut, a crash, a NAT, a fault of any kind. */
  readonly trouble: boolean;
  /** A backend crashed, or seemed dead to a forwarder. */
  readonly backendLost: boolean;
  /** A backend drained: it refuses those who followed a Retry to it. */
  readonly drained: boolean;
  /** The client's address changed. */
  readonly moved: boolean;
}

/** Connection errors that honest peers may meet: all others accuse somebody of breaking the protocol. */
function isHonest(reason: CloseReason, circumstances: Circumstances): boolean {
  switch (reason.kind) {
    case 'application':
      return reason.code === CLOSE_CODE;
    case 'transport':
      if (reason.code === TransportErrorCode.INVALID_TOKEN)
        return circumstances.moved || circumstances.backendLost;
      if (reason.code === TransportErrorCode.CONNECTION_REFUSED) return circumstances.drained;
      return reason.code === TransportErrorCode.NO_VIABLE_PATH && circumstances.moved;
    case 'idle-timeout':
    case 'handshake-timeout':
      return circumstances.trouble;
    case 'stateless-reset':
      return circumstances.backendLost;
    case 'version-mismatch':
      // Nothing protects Version Negotiation (RFC 9000 §6.2): a spoilt one may name no version that we speak.
      return circumstances.trouble;
  }
}

const show = (ending: Ending | undefined): string =>
  ending === undefined ? 'nothing' : JSON.stringify(ending);

/** A side says that its peer closed: then the peer has, in the same words. */
function checkAgreement(call: Call, mine: Ending, theirs: Ending | undefined): void {
  if (mine.kind !== 'application' && mine.kind !== 'transport') return;
  if (mine.by !== 'peer') return;
  // A Retry token that proves nothing, or that comes while no newcomers are taken, is refused without a connection (RFC 9000 §8.1.2).
  const isStateless =
    mine.kind === 'transport' &&
    (mine.code === TransportErrorCode.INVALID_TOKEN || mine.code === TransportErrorCode.CONNECTION_REFUSED);
  if (isStateless && theirs === undefined) return;
  const agrees =
    theirs !== undefined &&
    (theirs.kind === 'crashed' ||
      (theirs.kind === mine.kind && theirs.by === 'local' && theirs.code === mine.code));
  if (!agrees) {
    throw new Violation('endings', `${call.name}: one side says ${show(mine)}, the other ${show(theirs)}`);
  }
}

const isLoneliness = ({ kind }: Ending): boolean => kind === 'idle-timeout' || kind === 'stateless-reset';

/**
 * A client whose NAT rebinds within the handshake is complete, its server never is and gives up (RFC 9000 §9 relies on a
 * stable address for so long): then the server knows nothing of it.
 */
function isForgotten(call: Call, ending: Ending): boolean {
  const { backendLife, endedAt, dialledAt } = call;
  if (backendLife !== undefined || ending.kind !== 'stateless-reset') return false;
  return endedAt.client! - dialledAt >= DEFAULT_TRANSPORT_CONFIG.handshakeTimeoutMs;
}

function isLast({ endedAt }: Call, role: Role): boolean {
  const mine = endedAt[role];
  const theirs = endedAt[role === 'client' ? 'server' : 'client'];
  return mine !== undefined && theirs !== undefined && mine > theirs;
}

/** Holds how a call ended on both sides to what happened. */
export function checkEndings(call: Call, circumstances: Circumstances): void {
  const { client, server } = call.endings;
  if (client === undefined) throw new Violation('progress', `${call.name} never ended: ${call.progress}`);
  for (const ending of [client, server]) {
    if (ending === undefined || ending.kind === 'crashed') continue;
    // A side that hears nothing more from one that is gone, or that it no longer knows it, needs no further excuse.
    const alone = isLast(call, ending === client ? 'client' : 'server') && isLoneliness(ending);
    if (alone || isForgotten(call, ending) || isHonest(ending, circumstances)) continue;
    throw new Violation(
      'endings',
      `${call.name}: the ${ending === client ? 'client' : 'server'} ended with ${show(ending)}`,
    );
  }
  checkAgreement(call, client, server);
  if (server !== undefined) checkAgreement(call, server, client);
  if (call.connectedAt !== undefined && server === undefined && call.backendLife !== undefined) {
    throw new Violation(
      'endings',
      `${call.name}: the client ended with ${show(client)}, the server never did`,
    );
  }
}

/** A server's connection that never became a call may only have run out of time, or been closed by its client. */
export function checkUnmatchedEnding(backend: string, reason: CloseReason): void {
  if (reason.kind === 'transport' && reason.by === 'local') {
    throw new Violation('endings', `${backend}: a connection without a call ended with ${show(reason)}`);
  }
}
