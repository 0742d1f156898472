import type { CloseReason } from '../errors.ts';
import type { Frame } from '../frames/index.ts';
import type { RttFigures } from '../recovery/index.ts';
import type { TransportParameters } from '../transport-parameters.ts';
import type { Path } from '../types.ts';

/** Packet number spaces (RFC 9000 §12.3), as they are named in qlog. */
export type SpaceName = 'initial' | 'handshake' | 'application';

/** Why a packet or a datagram was not processed. */
export type DropReason =
  | 'too-short'
  | 'malformed-header'
  | 'unsupported-version'
  | 'unknown-connection'
  | 'keys-unavailable'
  | 'keys-discarded'
  | 'undecryptable'
  | 'duplicate'
  | 'buffer-full'
  | 'small-initial'
  | 'bad-token'
  /** The Retry that answers it was sent already. */
  | 'answered'
  | 'bad-retry'
  | 'wrong-connection-id'
  | 'wrong-address'
  | 'connection-closed'
  | 'not-accepting'
  | 'limit'
  | 'address-limit';

/** A connection as it begins. */
export interface ObservedConnection {
  readonly role: 'client' | 'server';
  /** The Destination CID of the client's very first packet: both ends know it, so it names the connection in logs. */
  readonly originalDestination: Uint8Array;
  readonly path: Path;
}

/** What loss detection and congestion control know; read it during the call only. */
export interface RecoveryFigures {
  readonly rtt: RttFigures;
  readonly bytesInFlight: number;
  readonly congestionWindowOctets: number;
  /** Infinity until the first congestion event. */
  readonly slowStartThresholdOctets: number;
  readonly ptoCount: number;
}

/** Sees a packet. `frames` is there only for observers that want frames; its octets are gone after the call. */
type PacketHook = (
  space: SpaceName,
  packetNumber: number,
  octets: number,
  path: Path,
  now: number,
  frames?: readonly Frame[],
) => void;

/**
 * Sees what a connection does: for qlog and metrics. Must not call back into the engine. Every hook is optional, and what
 * is absent costs nothing.
 */
export interface QuicObserver {
  /** An observer for one connection, besides this one, which goes on to see all. */
  readonly forConnection?:
    | ((connection: ObservedConnection, now: number) => QuicObserver | undefined)
    | undefined;
  /** Have the frames of every packet given to `packetSent` and `packetReceived`. Costs a second decoding of what is sent. */
  readonly wantsFrames?: boolean | undefined;
  readonly packetSent?: PacketHook | undefined;
  readonly packetReceived?: PacketHook | undefined;
  readonly packetDropped?: ((reason: DropReason, octets: number, now: number) => void) | undefined;
  readonly packetLost?:
    | ((space: SpaceName, packetNumber: number, octets: number, now: number) => void)
    | undefined;
  /** After an ACK or a loss. */
  readonly metricsUpdated?: ((figures: RecoveryFigures, now: number) => void) | undefined;
  readonly parametersSet?:
    | ((owner: 'local' | 'remote', parameters: Partial<TransportParameters>, now: number) => void)
    | undefined;
  /** Another path is in use, or the one in use was validated. */
  readonly pathChanged?: ((path: Path, previous: Path, validated: boolean, now: number) => void) | undefined;
  /** A line of SSLKEYLOGFILE, for decrypting captures. */
  readonly keyLog?: ((line: string) => void) | undefined;
  readonly closed?: ((reason: CloseReason, now: number) => void) | undefined;
}

export const NO_OBSERVER: QuicObserver = Object.freeze({});

type Hook<A extends unknown[]> = ((...args: A) => void) | undefined;

/** Both hooks in turn; one alone stays as it is, so that an absent one costs nothing. */
function both<A extends unknown[]>(a: Hook<A>, first: object, b: Hook<A>, second: object): Hook<A> {
  if (a === undefined || b === undefined) return a?.bind(first) ?? b?.bind(second);
  return (...args) => {
    a.apply(first, args);
    b.apply(second, args);
  };
}

/** One observer that tells two. `forConnection` is that of the first. */
export function combineObservers(a: QuicObserver, b: QuicObserver): QuicObserver {
  return {
    forConnection: a.forConnection?.bind(a),
    wantsFrames: a.wantsFrames || b.wantsFrames,
    packetSent: both(a.packetSent, a, b.packetSent, b),
    packetReceived: both(a.packetReceived, a, b.packetReceived, b),
    packetDropped: both(a.packetDropped, a, b.packetDropped, b),
    packetLost: both(a.packetLost, a, b.packetLost, b),
    metricsUpdated: both(a.metricsUpdated, a, b.metricsUpdated, b),
    parametersSet: both(a.parametersSet, a, b.parametersSet, b),
    pathChanged: both(a.pathChanged, a, b.pathChanged, b),
    keyLog: both(a.keyLog, a, b.keyLog, b),
    closed: both(a.closed, a, b.closed, b),
  };
}

/** What sees a new connection: the endpoint's observer, and the one that it has for this connection alone. */
export function observing(
  observer: QuicObserver,
  role: ObservedConnection['role'],
  originalDestination: Uint8Array,
  path: Path,
  now: number,
): QuicObserver {
  const own = observer.forConnection?.({ role, originalDestination, path }, now);
  return own === undefined ? observer : combineObservers(observer, own);
}
