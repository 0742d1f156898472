/**
 * One QUIC-LB configuration: how the octets of a CID name a backend (draft-ietf-quic-load-balancers §5.3; sections here and
 * elsewhere are those of revision 22).
 */
export interface QuicLbConfig {
  /** The top three bits of a CID's first octet, 0 to 6; 7 is reserved for unroutable CIDs. */
  readonly configRotation: number;
  /** Octets of a server ID, at least 1. */
  readonly serverIdLength: number;
  /** Octets of the nonce, at least 4; with the server ID at most 19. */
  readonly nonceLength: number;
  /** AES-128 key, 16 octets. Without it the server ID stands in plaintext. */
  readonly key?: Uint8Array;
  /** Whether the low five bits of the first octet hold the length of the rest; random bits otherwise. */
  readonly firstOctetEncodesLength: boolean;
}

/** The rotation that names no configuration: such a CID is always unroutable (draft §3.1, §4.1). */
export const UNROUTABLE_ROTATION = 0b111;
const MIN_SERVER_ID_OCTETS = 1;
const MIN_NONCE_OCTETS = 4;
/** A QUIC v1 CID has 20 octets at most, and the first is the rotation's. */
const MAX_PLAINTEXT_OCTETS = 19;
const KEY_OCTETS = 16;

/** Octets of every CID that a configuration makes. */
export function connectionIdLength(config: QuicLbConfig): number {
  return 1 + config.serverIdLength + config.nonceLength;
}

/** What is wrong with a configuration, one sentence per fault; empty when it can be used. */
export function configFaults(config: QuicLbConfig): string[] {
  const faults: string[] = [];
  const { configRotation, serverIdLength, nonceLength, key } = config;
  if (!Number.isInteger(configRotation) || configRotation < 0 || configRotation >= UNROUTABLE_ROTATION) {
    faults.push(
      `configRotation is ${configRotation}, but must be 0 to 6 (7 is reserved for unroutable CIDs).`,
    );
  }
  if (!Number.isInteger(serverIdLength) || serverIdLength < MIN_SERVER_ID_OCTETS) {
    faults.push(`serverIdLength is ${serverIdLength}, but must be at least ${MIN_SERVER_ID_OCTETS} octet.`);
  }
  if (!Number.isInteger(nonceLength) || nonceLength < MIN_NONCE_OCTETS) {
    faults.push(`nonceLength is ${nonceLength}, but must be at least ${MIN_NONCE_OCTETS} octets.`);
  }
  if (serverIdLength + nonceLength > MAX_PLAINTEXT_OCTETS) {
    faults.push(
      `serverIdLength and nonceLength make ${serverIdLength + nonceLength} octets, but a CID holds at most ${MAX_PLAINTEXT_OCTETS} of them.`,
    );
  }
  if (key !== undefined && key.length !== KEY_OCTETS) {
    faults.push(`key has ${key.length} octets, but an AES-128 key has ${KEY_OCTETS}.`);
  }
  return faults;
}

/** Throws `RangeError` with every fault of a configuration that cannot be used. */
export function assertConfig(config: QuicLbConfig): void {
  const faults = configFaults(config);
  if (faults.length > 0) throw new RangeError(`QUIC-LB configuration: ${faults.join(' ')}`);
}

/**
 * The layout of AWS Network Load Balancer: plaintext, 8-octet server ID. CIDs of 16 octets by default; reports of
 * the length it accepts differ, so the nonce's length can be set (4 to 11 octets).
 */
export function awsNlbConfig(nonceLength = 7): QuicLbConfig {
  return { configRotation: 0, serverIdLength: 8, nonceLength, firstOctetEncodesLength: true };
}
