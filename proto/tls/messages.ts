import { equalOctets, toHex, type Writer } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import {
  bodyOf,
  type Extensions,
  expectEnd,
  type HandshakeMessage,
  HandshakeType,
  handshakeMessage,
  readCodes,
  readExtensions,
  readVector8,
  readVector16,
  readVector24,
  vector,
} from './codec.ts';

const LEGACY_VERSION = 0x0303;
export const RANDOM_LENGTH = 32;
const MAX_SESSION_ID_LENGTH = 32;
/** More certificates than any real chain has. */
const MAX_CHAIN_LENGTH = 16;

/** The random of a ServerHello that is a HelloRetryRequest: SHA-256 of its name (RFC 8446 §4.1.3). */
// biome-ignore format: octets as in the RFC
export const HELLO_RETRY_RANDOM = Uint8Array.of(
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
);

export interface ClientHello {
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly extensions: Extensions;
}

/** RFC 8446 §4.1.2; supported_versions decides the version, but RFC 9846 §4.2.2 wants the old field to be that of TLS 1.2. */
export function readClientHello(message: HandshakeMessage): ClientHello {
  const reader = bodyOf(message);
  if (reader.u16() !== LEGACY_VERSION) fail(Alert.PROTOCOL_VERSION, 'ClientHello names an old version');
  const random = reader.bytes(RANDOM_LENGTH);
  const sessionId = readSessionId(readVector8(reader).rest());
  const cipherSuites = readCodes(readVector16(reader), 'cipher_suites');
  const compression = readVector8(reader).rest();
  // Before TLS 1.3 there were no extensions to say otherwise, so this is a client of an old version.
  if (reader.done) fail(Alert.PROTOCOL_VERSION, 'the client does not offer TLS 1.3');
  const extensions = readExtensions(reader, 'ClientHello');
  if (compression.length !== 1 || compression[0] !== 0) {
    fail(Alert.ILLEGAL_PARAMETER, 'ClientHello offers compression');
  }
  return { random, sessionId, cipherSuites, extensions };
}

function readSessionId(sessionId: Uint8Array): Uint8Array {
  if (sessionId.length > MAX_SESSION_ID_LENGTH) fail(Alert.DECODE_ERROR, 'legacy_session_id is too long');
  return sessionId;
}

export function writeClientHello(
  random: Uint8Array,
  cipherSuites: readonly number[],
  writeExtensions: (writer: Writer) => void,
): Uint8Array {
  return handshakeMessage(HandshakeType.CLIENT_HELLO, (w) => {
    // RFC 9001 §8.4: QUIC has no middlebox compatibility mode, so legacy_session_id is empty.
    w.u16(LEGACY_VERSION).bytes(random).u8(0);
    vector(w, 2, (list) => {
      for (const suite of cipherSuites) list.u16(suite);
    });
    w.u8(1).u8(0);
    vector(w, 2, writeExtensions);
  });
}

/** Last octets of a ServerHello's random from a server that could speak TLS 1.3 and was kept from it (RFC 8446 §4.1.3). */
const DOWNGRADES: readonly string[] = ['444f574e47524401', '444f574e47524400'];

export interface ServerHello {
  readonly isRetry: boolean;
  readonly isDowngrade: boolean;
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  readonly extensions: Extensions;
}

/** RFC 8446 §4.1.3, a HelloRetryRequest included. */
export function readServerHello(message: HandshakeMessage): ServerHello {
  const reader = bodyOf(message);
  const version = reader.u16();
  const random = reader.bytes(RANDOM_LENGTH);
  const sessionId = readSessionId(readVector8(reader).rest());
  const cipherSuite = reader.u16();
  const compression = reader.u8();
  // Before TLS 1.3 there may be none: a server of an old version.
  const extensions: Extensions = reader.done ? new Map() : readExtensions(reader, 'ServerHello');
  if (version !== LEGACY_VERSION) fail(Alert.PROTOCOL_VERSION, 'ServerHello names an old version');
  if (compression !== 0) fail(Alert.ILLEGAL_PARAMETER, 'ServerHello selects compression');
  const isRetry = equalOctets(random, HELLO_RETRY_RANDOM);
  const isDowngrade = DOWNGRADES.includes(toHex(random.subarray(RANDOM_LENGTH - 8)));
  return { isRetry, isDowngrade, sessionId, cipherSuite, extensions };
}

export function writeServerHello(
  random: Uint8Array,
  cipherSuite: number,
  writeExtensions: (writer: Writer) => void,
): Uint8Array {
  return handshakeMessage(HandshakeType.SERVER_HELLO, (w) => {
    w.u16(LEGACY_VERSION).bytes(random).u8(0).u16(cipherSuite).u8(0);
    vector(w, 2, writeExtensions);
  });
}

export function readEncryptedExtensions(message: HandshakeMessage): Extensions {
  return readExtensions(bodyOf(message), 'EncryptedExtensions');
}

export function writeEncryptedExtensions(writeExtensions: (writer: Writer) => void): Uint8Array {
  return handshakeMessage(HandshakeType.ENCRYPTED_EXTENSIONS, (w) => vector(w, 2, writeExtensions));
}

/** The DER certificates of a server's Certificate message (RFC 8446 §4.4.2), copied. */
export function readCertificate(message: HandshakeMessage): Uint8Array[] {
  const reader = bodyOf(message);
  const context = readVector8(reader);
  if (!context.done) fail(Alert.ILLEGAL_PARAMETER, 'the server certificate has a request context');
  const list = readVector24(reader);
  expectEnd(reader, 'Certificate');
  const chain: Uint8Array[] = [];
  while (!list.done) {
    const der = readVector24(list).rest().slice();
    if (der.length === 0) fail(Alert.DECODE_ERROR, 'a certificate is empty');
    // We offer neither status_request nor signed_certificate_timestamp, the only ones that may stand here.
    if (!readVector16(list).done) fail(Alert.UNSUPPORTED_EXTENSION, 'a certificate entry has an extension');
    if (chain.push(der) > MAX_CHAIN_LENGTH) fail(Alert.BAD_CERTIFICATE, 'the certificate chain is too long');
  }
  // RFC 8446 §4.4.2.4: a server's certificate list is never empty.
  if (chain.length === 0) fail(Alert.DECODE_ERROR, 'the server sent no certificate');
  return chain;
}

export function writeCertificate(context: Uint8Array, chain: readonly Uint8Array[]): Uint8Array {
  return handshakeMessage(HandshakeType.CERTIFICATE, (w) => {
    vector(w, 1, (c) => c.bytes(context));
    vector(w, 3, (list) => {
      for (const der of chain) {
        vector(list, 3, (entry) => entry.bytes(der));
        list.u16(0);
      }
    });
  });
}

export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

export function readCertificateVerify(message: HandshakeMessage): CertificateVerify {
  const reader = bodyOf(message);
  const scheme = reader.u16();
  const signature = readVector16(reader).rest();
  expectEnd(reader, 'CertificateVerify');
  return { scheme, signature };
}

export function writeCertificateVerify(scheme: number, signature: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.CERTIFICATE_VERIFY, (w) => {
    w.u16(scheme);
    vector(w, 2, (s) => s.bytes(signature));
  });
}

/** A CertificateRequest (RFC 8446 §4.3.2). */
export function readCertificateRequest(message: HandshakeMessage): {
  context: Uint8Array;
  extensions: Extensions;
} {
  const reader = bodyOf(message);
  const context = readVector8(reader).rest();
  return { context, extensions: readExtensions(reader, 'CertificateRequest') };
}

export function readFinished(message: HandshakeMessage): Uint8Array {
  return bodyOf(message).rest();
}

export function writeFinished(verifyData: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.FINISHED, (w) => w.bytes(verifyData));
}

export interface NewSessionTicket {
  readonly lifetimeSeconds: number;
  readonly ageAdd: number;
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  readonly extensions: Extensions;
}

/** RFC 8446 §4.6.1. */
export function readNewSessionTicket(message: HandshakeMessage): NewSessionTicket {
  const reader = bodyOf(message);
  const lifetimeSeconds = reader.u32();
  const ageAdd = reader.u32();
  const nonce = readVector8(reader).rest();
  const ticket = readVector16(reader).rest();
  if (ticket.length === 0) fail(Alert.DECODE_ERROR, 'a session ticket is empty');
  return { lifetimeSeconds, ageAdd, nonce, ticket, extensions: readExtensions(reader, 'NewSessionTicket') };
}

/** A ticket without extensions: early data is not offered (RFC 8446 §4.6.1). */
export function writeNewSessionTicket(
  lifetimeSeconds: number,
  ageAdd: number,
  nonce: Uint8Array,
  ticket: Uint8Array,
): Uint8Array {
  return handshakeMessage(HandshakeType.NEW_SESSION_TICKET, (w) => {
    w.u32(lifetimeSeconds).u32(ageAdd);
    vector(w, 1, (n) => n.bytes(nonce));
    vector(w, 2, (t) => t.bytes(ticket));
    vector(w, 2, () => {});
  });
}
