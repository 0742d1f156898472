export { formatAddress } from '../wire/index.ts';

/** An IP address as text and a port. Two addresses are the same when both fields are. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A network path as QUIC sees it: our address and the peer's. A forwarder in between is no part of it. */
export interface Path {
  readonly local: Address;
  readonly remote: Address;
}

/** One UDP payload, in or out. */
export interface Datagram {
  readonly data: Uint8Array;
  readonly path: Path;
  /** The forwarder it came through, or is to go back through; absent when the peer is met directly. */
  readonly via?: Address;
}

/** Gives `length` octets: cryptographically strong in production, seeded in the simulator. */
export type RandomSource = (length: number) => Uint8Array;

/** Makes the CIDs that a peer will put in its packets to us, so that a load balancer can read them. */
export interface ConnectionIdGenerator {
  /** Octets of every CID it makes, 1 to 20: a short header does not say where its CID ends. */
  readonly length: number;
  generate(): Uint8Array;
}

export type StreamDirection = 'bidirectional' | 'unidirectional';

export function sameAddress(a: Address, b: Address): boolean {
  return a === b || (a.port === b.port && a.host === b.host);
}

export function samePath(a: Path, b: Path): boolean {
  return sameAddress(a.remote, b.remote) && sameAddress(a.local, b.local);
}
