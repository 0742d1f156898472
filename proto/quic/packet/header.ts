/** QUIC version 1 (RFC 9000 §15). */
export const VERSION_1 = 1;

/** Longest CID of version 1 (RFC 9000 §17.2). */
export const MAX_CONNECTION_ID_OCTETS = 20;

/** UDP payload that a datagram with an Initial must have (RFC 9000 §14.1), and one that opens a connection of any version. */
export const MIN_INITIAL_DATAGRAM_OCTETS = 1200;

/** Why an arriving datagram, or the rest of one, is dropped before any key is tried. */
export type DropReason =
  /** It ends before its header does. */
  | 'truncated'
  /** The Fixed Bit is 0 and we did not offer to take that (RFC 9000 §17.2, RFC 9287 §3). */
  | 'fixed-bit'
  /** A CID of version 1 is longer than 20 octets (RFC 9000 §17.2). */
  | 'connection-id-length'
  /** Version Negotiation whose list is not a whole number of versions (RFC 9000 §17.2.1). */
  | 'version-list';

interface Located {
  /** Index of the first octet in the datagram. */
  readonly start: number;
  /** Index after the last octet; another packet may follow (RFC 9000 §12.2). */
  readonly end: number;
  readonly destinationConnectionId: Uint8Array;
}

/** Initial, 0-RTT or Handshake packet of version 1, still protected. */
export interface LongPacket extends Located {
  readonly type: 'initial' | 'zeroRtt' | 'handshake';
  readonly version: number;
  readonly sourceConnectionId: Uint8Array;
  /** Token of an Initial; empty for the others. */
  readonly token: Uint8Array;
  /** Index of the packet number in the datagram. */
  readonly packetNumberAt: number;
}

/** Short header packet, still protected. It reaches to the end of its datagram. */
export interface ShortPacket extends Located {
  readonly type: 'oneRtt';
  readonly packetNumberAt: number;
}

/** Retry (RFC 9000 §17.2.5). Its tag is not checked yet: see `verifyRetry`. */
export interface RetryPacket extends Located {
  readonly type: 'retry';
  readonly version: number;
  readonly sourceConnectionId: Uint8Array;
  readonly token: Uint8Array;
}

/** Version Negotiation (RFC 9000 §17.2.1). */
export interface VersionNegotiationPacket extends Located {
  readonly type: 'versionNegotiation';
  readonly sourceConnectionId: Uint8Array;
  readonly versions: readonly number[];
}

/** A long header of a version that is not ours: nothing but its CIDs is known, and they may have up to 255 octets. */
export interface UnknownVersionPacket extends Located {
  readonly type: 'unknownVersion';
  readonly version: number;
  readonly sourceConnectionId: Uint8Array;
}

export interface DroppedPacket {
  readonly type: 'drop';
  readonly reason: DropReason;
}

export type ParsedPacket =
  | LongPacket
  | ShortPacket
  | RetryPacket
  | VersionNegotiationPacket
  | UnknownVersionPacket
  | DroppedPacket;
