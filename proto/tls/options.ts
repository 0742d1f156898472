import type { KeyObject } from 'node:crypto';
import type { CipherSuite } from './types.ts';

/** Key exchange groups (RFC 8446 §4.2.7) that are spoken here. */
export const NamedGroup = {
  SECP256R1: 0x0017,
  X25519: 0x001d,
} as const;
export type NamedGroup = (typeof NamedGroup)[keyof typeof NamedGroup];

/** A certificate chain and the private key of its leaf: ECDSA P-256, RSA or Ed25519. */
export interface TlsCertificate {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly privateKey: KeyObject;
}

/** What both roles are given. */
export interface CommonOptions {
  /** The only source of randomness, private keys included. (Signatures of ECDSA and RSA-PSS draw on OpenSSL's own.) */
  readonly random: (length: number) => Uint8Array;
  /** Most preferred first. At least one. */
  readonly alpnProtocols: readonly string[];
  /** The encoded quic_transport_parameters of this endpoint. */
  readonly transportParameters: Uint8Array;
  /** Most preferred first. Default: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305. */
  readonly cipherSuites?: readonly CipherSuite[];
  /** Most preferred first. Default: X25519, P-256. */
  readonly groups?: readonly NamedGroup[];
  /** Takes lines in the SSLKEYLOGFILE format, without a line end. */
  readonly keyLog?: (line: string) => void;
}

export interface TlsServerOptions extends CommonOptions {
  /** At least one. Chosen by server name, then by signature algorithm; the first is the default. */
  readonly certificates: readonly TlsCertificate[];
  /** Absent: no session tickets are given or taken. */
  readonly tickets?: TlsTicketOptions;
}

/** Session tickets (RFC 8446 §4.6.1). Early data is never offered. */
export interface TlsTicketOptions {
  /** 32 secret octets. Servers that share them resume each other's sessions. */
  readonly secret: Uint8Array;
  /** The time of day, milliseconds since 1970: tickets age by it. */
  readonly nowEpochMs: () => number;
  /** Seconds that a ticket is good for, and between changes of the key derived from the secret. Default one day, at most seven. */
  readonly lifetimeSeconds?: number;
}

/** What a client keeps of a session to resume it. Secret: who has it can pose as the client. Use it once (RFC 8446 §C.4). */
export interface SessionTicket {
  readonly ticket: Uint8Array;
  readonly psk: Uint8Array;
  readonly serverName: string;
  readonly alpn: string;
  readonly cipherSuite: CipherSuite;
  readonly ageAdd: number;
  /** Milliseconds since 1970. */
  readonly receivedAtEpochMs: number;
  /** When ticket or certificate end, whichever is first. */
  readonly expiresAtEpochMs: number;
  /** When the certificate ends that the server showed, in this session or in the one that was resumed for it. */
  readonly certificateEndsAtEpochMs: number;
  /** Stands for how the certificate was believed: a session resumes only under the same trust. */
  readonly trustId: string;
}

/** How the client decides to believe the server's certificate. */
export type TlsTrust =
  /** A chain to one of these (DER), valid now, for the server name. */
  | { readonly kind: 'ca'; readonly certificates: readonly Uint8Array[] }
  /** WebTransport's serverCertificateHashes: the leaf's SHA-256, at most 14 days of validity, no RSA. */
  | { readonly kind: 'hashes'; readonly sha256: readonly Uint8Array[] }
  /** No check but the proof that the server holds the key. For tests and probes. */
  | { readonly kind: 'any' };

export interface TlsClientOptions extends CommonOptions {
  /** A host name or an IP address; a name is sent as SNI. Empty: neither sent nor checked by `hashes` and `any`. */
  readonly serverName: string;
  /** Wall-clock time for certificate validity, milliseconds since 1970. */
  readonly nowEpochMs: number;
  readonly trust: TlsTrust;
  /** Groups to send a key share for at once. Default: the first of `groups`. */
  readonly keyShareGroups?: readonly NamedGroup[];
  /** Takes tickets for later connections. Absent, with no `session` either: none are asked for. */
  readonly onTicket?: (ticket: SessionTicket) => void;
  /** A session to resume. It is offered only if it fits; the server may decline, and a full handshake follows. */
  readonly session?: SessionTicket;
}
