import type { CloseReason } from '../errors.ts';
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
  | 'bad-retry'
  | 'wrong-connection-id'
  | 'wrong-address'
  | 'connection-closed'
  | 'not-accepting'
  | 'limit';

/** Sees what a connection does: for qlog and metrics. Must not call back into the engine. */
export interface QuicObserver {
  readonly packetSent?:
    | ((space: SpaceName, packetNumber: number, octets: number, path: Path, now: number) => void)
    | undefined;
  readonly packetReceived?:
    | ((space: SpaceName, packetNumber: number, octets: number, path: Path, now: number) => void)
    | undefined;
  readonly packetDropped?: ((reason: DropReason, octets: number, now: number) => void) | undefined;
  readonly packetLost?:
    | ((space: SpaceName, packetNumber: number, octets: number, now: number) => void)
    | undefined;
  /** A line of SSLKEYLOGFILE, for decrypting captures. */
  readonly keyLog?: ((line: string) => void) | undefined;
  readonly closed?: ((reason: CloseReason, now: number) => void) | undefined;
}

export const NO_OBSERVER: QuicObserver = Object.freeze({});
