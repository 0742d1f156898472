import { Reader } from '../wire/index.ts';
import { Alert, fail, failQuic } from './alerts.ts';
import { type Extensions, expectEnd, readCodes, readVector8 } from './codec.ts';
import {
  ExtensionType,
  type KeyShareEntry,
  readAlpn,
  readCodeList,
  readKeyShares,
  readServerName,
  required,
  TLS13,
} from './extensions.ts';
import type { ClientHello } from './messages.ts';
import { PSK_DHE_KE, type PskOffer, readPskModes, readPskOffer } from './pre-shared-key.ts';

/** A ClientHello as the server uses it: every extension that matters, checked for form. */
export interface Offer {
  readonly random: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly keyShares: readonly KeyShareEntry[];
  readonly signatureSchemes: readonly number[];
  readonly alpn: readonly string[];
  readonly serverName: string | undefined;
  /** An offer to resume a session; its binders are not checked yet. */
  readonly psk: PskOffer | undefined;
  /** The client takes sessions back that are resumed with a fresh key exchange. */
  readonly resumes: boolean;
  /** Not looked at by `readOffer`. */
  readonly extensions: Extensions;
}

/** Checks a ClientHello in the order that gives the most telling alert (RFC 8446 §4.1.2, §9.2; RFC 9001 §8). */
export function readOffer(hello: ClientHello): Offer {
  const { extensions } = hello;
  checkVersion(extensions);
  // RFC 9001 §8.4.
  if (hello.sessionId.length > 0) failQuic('ClientHello has a legacy_session_id over QUIC');
  const psk = readPreSharedKey(extensions);
  const groups = readCodeList(
    required(extensions, ExtensionType.SUPPORTED_GROUPS, 'supported_groups'),
    'supported_groups',
  );
  const keyShares = readKeyShares(required(extensions, ExtensionType.KEY_SHARE, 'key_share'));
  checkKeyShares(keyShares, groups);
  const signatureSchemes = readCodeList(
    required(extensions, ExtensionType.SIGNATURE_ALGORITHMS, 'signature_algorithms'),
    'signature_algorithms',
  );
  const alpn = extensions.get(ExtensionType.ALPN);
  // RFC 9001 §8.1: without ALPN there is nothing to speak.
  if (alpn === undefined) fail(Alert.NO_APPLICATION_PROTOCOL, 'the client offers no application protocol');
  const name = extensions.get(ExtensionType.SERVER_NAME);
  return {
    random: hello.random,
    cipherSuites: hello.cipherSuites,
    groups,
    keyShares,
    signatureSchemes,
    alpn: readAlpn(alpn),
    psk,
    resumes: readResumes(extensions),
    extensions,
    serverName: name === undefined ? undefined : readServerName(name),
  };
}

function checkVersion(extensions: Extensions): void {
  const body = extensions.get(ExtensionType.SUPPORTED_VERSIONS);
  if (body === undefined) fail(Alert.PROTOCOL_VERSION, 'the client does not offer TLS 1.3');
  const reader = new Reader(body);
  const versions = readCodes(readVector8(reader), 'supported_versions');
  expectEnd(reader, 'supported_versions');
  if (!versions.includes(TLS13)) fail(Alert.PROTOCOL_VERSION, 'the client does not offer TLS 1.3');
}

/** RFC 8446 §4.2.9 and §4.2.11. */
function readPreSharedKey(extensions: Extensions): PskOffer | undefined {
  const body = extensions.get(ExtensionType.PRE_SHARED_KEY);
  if (body === undefined) return undefined;
  const last = [...extensions.keys()].at(-1);
  if (last !== ExtensionType.PRE_SHARED_KEY) {
    fail(Alert.ILLEGAL_PARAMETER, 'pre_shared_key is not the last extension');
  }
  required(extensions, ExtensionType.PSK_KEY_EXCHANGE_MODES, 'psk_key_exchange_modes');
  return readPskOffer(body);
}

function readResumes(extensions: Extensions): boolean {
  const modes = extensions.get(ExtensionType.PSK_KEY_EXCHANGE_MODES);
  return modes !== undefined && readPskModes(modes).includes(PSK_DHE_KE);
}

/** One share for each group at most, and only for groups in supported_groups (RFC 8446 §4.2.8). */
function checkKeyShares(shares: readonly KeyShareEntry[], groups: readonly number[]): void {
  const seen = new Set<number>();
  for (const { group } of shares) {
    if (seen.has(group)) fail(Alert.ILLEGAL_PARAMETER, `two key shares for group ${group}`);
    if (!groups.includes(group)) fail(Alert.ILLEGAL_PARAMETER, `a key share for unoffered group ${group}`);
    seen.add(group);
  }
}
