import { createHash, type KeyObject, X509Certificate } from 'node:crypto';
import { equalOctets } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { plain } from './hkdf.ts';
import type { TlsTrust } from './options.ts';
import { type CertificateDetails, inspectCertificate } from './x509.ts';

const DAY_MS = 86_400_000;
/** W3C WebTransport, "verify a certificate hash": total validity of at most two weeks. */
const MAX_HASHED_VALIDITY_MS = 14 * DAY_MS;
/** Certificates between leaf and root; public chains have one or two. */
const MAX_INTERMEDIATES = 6;
/** Signatures checked in search of a chain, so that a crafted set of certificates cannot keep us busy. */
const MAX_SIGNATURE_CHECKS = 32;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';
/** Critical extensions whose meaning is followed here or by OpenSSL: basicConstraints, keyUsage, subjectAltName, extKeyUsage. */
const UNDERSTOOD_EXTENSIONS: readonly string[] = ['551d13', '551d0f', '551d11', '551d25'];
/** SHA-256, SHA-384 and SHA-512 under RSA PKCS #1, ECDSA and RSA-PSS, and Ed25519: no MD5, no SHA-1 (RFC 8446 §4.4.2.4). */
export const STRONG_SIGNATURES: readonly string[] = [
  ...['0b', '0c', '0d'].map((hash) => `2a864886f70d0101${hash}`),
  ...['02', '03', '04'].map((hash) => `2a8648ce3d0403${hash}`),
  ...['01', '02', '03'].map((hash) => `2a864886f70d01010a:6086480165030402${hash}`),
  '2b6570',
];

/** Parses a DER certificate of the peer. */
export function parseCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    fail(Alert.BAD_CERTIFICATE, 'a certificate of the server cannot be parsed');
  }
}

/** The key of a certificate; Node parses it only now. */
export function publicKeyOf(certificate: X509Certificate): KeyObject {
  try {
    return certificate.publicKey;
  } catch {
    fail(Alert.UNSUPPORTED_CERTIFICATE, 'the key of a certificate of the server cannot be read');
  }
}

/** Whether the text is an IP address rather than a name; names end in a label that is not all digits. */
export function isIpAddress(name: string): boolean {
  return name.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);
}

/** Throws the alert that says why the chain is not believed. `chain` is as received, leaf first, not empty. */
export function checkTrust(
  trust: TlsTrust,
  chain: readonly Uint8Array[],
  serverName: string,
  nowEpochMs: number,
): void {
  if (trust.kind === 'any') return;
  if (trust.kind === 'hashes') {
    checkHashes(trust.sha256, chain, nowEpochMs);
    return;
  }
  checkChain(trust.certificates, chain, serverName, nowEpochMs);
}

function validity(certificate: X509Certificate): { fromMs: number; toMs: number } {
  const fromMs = Date.parse(certificate.validFrom);
  const toMs = Date.parse(certificate.validTo);
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) {
    fail(Alert.BAD_CERTIFICATE, 'the validity of a certificate cannot be read');
  }
  return { fromMs, toMs };
}

function checkValidity(certificate: X509Certificate, nowEpochMs: number, what: string): void {
  const { fromMs, toMs } = validity(certificate);
  if (nowEpochMs < fromMs) {
    fail(Alert.BAD_CERTIFICATE, `${what} is not valid before ${certificate.validFrom}`);
  }
  if (nowEpochMs > toMs) fail(Alert.CERTIFICATE_EXPIRED, `${what} expired at ${certificate.validTo}`);
}

function checkHashes(hashes: readonly Uint8Array[], chain: readonly Uint8Array[], nowEpochMs: number): void {
  const der = chain[0] ?? new Uint8Array(0);
  const hash = plain(createHash('sha256').update(der).digest());
  if (!hashes.some((expected) => equalOctets(expected, hash))) {
    fail(Alert.BAD_CERTIFICATE, 'the certificate has none of the expected hashes');
  }
  const leaf = parseCertificate(der);
  if (inspectCertificate(der).version !== 3) {
    fail(Alert.UNSUPPORTED_CERTIFICATE, 'a certificate that is known by its hash must be X.509v3');
  }
  if (publicKeyOf(leaf).asymmetricKeyType?.startsWith('rsa') !== false) {
    fail(Alert.UNSUPPORTED_CERTIFICATE, 'a certificate that is known by its hash must not have an RSA key');
  }
  const { fromMs, toMs } = validity(leaf);
  if (toMs - fromMs > MAX_HASHED_VALIDITY_MS) {
    fail(Alert.BAD_CERTIFICATE, 'a certificate that is known by its hash must not be valid for over 14 days');
  }
  checkValidity(leaf, nowEpochMs, 'the certificate');
}

function checkChain(
  roots: readonly Uint8Array[],
  chain: readonly Uint8Array[],
  serverName: string,
  nowEpochMs: number,
): void {
  const [leaf, ...others] = chain.map(parseCertificate);
  if (leaf === undefined) fail(Alert.DECODE_ERROR, 'the server sent no certificate');
  checkValidity(leaf, nowEpochMs, 'the certificate');
  checkName(leaf, serverName);
  if (!servesTls(leaf)) fail(Alert.UNSUPPORTED_CERTIFICATE, 'the certificate is not meant for servers');
  const details = inspectCertificate(leaf.raw);
  // RFC 8446 §4.4.2.2: the server signs with this key, whatever the key exchange.
  if (!details.signs) fail(Alert.UNSUPPORTED_CERTIFICATE, "the certificate's key usage allows no signatures");
  refuse(signatureFault(details) ?? extensionFault(details), 'the certificate');
  const search = new ChainSearch(roots.map(parseCertificate), others, nowEpochMs);
  if (!search.reachesRoot(leaf)) search.failUnreached();
}

function checkName(leaf: X509Certificate, serverName: string): void {
  const found = isIpAddress(serverName)
    ? leaf.checkIP(serverName)
    : // RFC 9110 §4.3.4: the subject's common name is no name to check.
      // RFC 9525 §6.3: a wildcard is a whole label.
      leaf.checkHost(serverName, { subject: 'never', partialWildcards: false });
  if (found === undefined) {
    fail(Alert.BAD_CERTIFICATE, `the certificate is not for "${serverName}"`);
  }
}

/** RFC 5280 §4.2.1.12. Node's `keyUsage` is the extended key usage. */
function servesTls(certificate: X509Certificate): boolean {
  const usages: readonly string[] | undefined = certificate.keyUsage;
  return usages === undefined || usages.includes(SERVER_AUTH) || usages.includes(ANY_EXTENDED_KEY_USAGE);
}

/** Why a certificate rules itself out, no matter what signed it. */
interface Fault {
  readonly alert: number;
  readonly reason: string;
}

/** RFC 8446 §4.4.2.4: bad_certificate where a signature that has to be checked is by MD5 or SHA-1. */
function signatureFault({ signatureAlgorithm }: CertificateDetails): Fault | undefined {
  if (STRONG_SIGNATURES.includes(signatureAlgorithm)) return undefined;
  return { alert: Alert.BAD_CERTIFICATE, reason: 'is signed in a way we do not accept' };
}

/** RFC 5280 §4.2: what is critical and not understood rules a certificate out. */
function extensionFault({ criticalExtensions }: CertificateDetails): Fault | undefined {
  if (criticalExtensions.every((id) => UNDERSTOOD_EXTENSIONS.includes(id))) return undefined;
  return { alert: Alert.UNSUPPORTED_CERTIFICATE, reason: 'has a critical extension we do not understand' };
}

/** Why a CA may not issue the server's certificate, be it a root or an intermediate. */
function issuerFault(issuer: X509Certificate, details: CertificateDetails): Fault | undefined {
  const alert = Alert.UNSUPPORTED_CERTIFICATE;
  // RFC 5280 §4.2.1.10: they are not followed here, and a CA is not trusted beyond them, critical or not.
  if (details.hasNameConstraints) return { alert, reason: 'has name constraints, which we do not follow' };
  if (!servesTls(issuer)) return { alert, reason: 'issues no certificates for servers' };
  return extensionFault(details);
}

function refuse(fault: Fault | undefined, what: string): void {
  if (fault !== undefined) fail(fault.alert, `${what} ${fault.reason}`);
}

/** Looks for a path from a certificate to a root, depth first, with bounds on depth and on signature checks. */
class ChainSearch {
  readonly #roots: readonly X509Certificate[];
  readonly #intermediates: readonly X509Certificate[];
  readonly #nowEpochMs: number;
  #checks = 0;
  /** Why the last issuer that would have fitted was not taken. */
  #fault: Fault | undefined;

  constructor(
    roots: readonly X509Certificate[],
    intermediates: readonly X509Certificate[],
    nowEpochMs: number,
  ) {
    this.#roots = roots;
    this.#intermediates = intermediates;
    this.#nowEpochMs = nowEpochMs;
  }

  reachesRoot(certificate: X509Certificate, depth = 0): boolean {
    // A certificate that is trusted itself needs no issuer; so development certificates work without a CA.
    if (this.#roots.some((root) => equalOctets(root.raw, certificate.raw))) return true;
    for (const root of this.#roots) if (this.#issued(certificate, root, depth, true)) return true;
    if (depth >= MAX_INTERMEDIATES) return false;
    for (const candidate of this.#intermediates) {
      if (candidate === certificate || !this.#issued(certificate, candidate, depth, false)) continue;
      if (this.reachesRoot(candidate, depth + 1)) return true;
    }
    return false;
  }

  /** Whether `issuer` is a CA, valid now, whose key signed `certificate`, `depth` certificates above the leaf. */
  #issued(certificate: X509Certificate, issuer: X509Certificate, depth: number, isRoot: boolean): boolean {
    // `checkIssued` compares names, key identifiers and key usage; `ca` is basicConstraints.
    if (!issuer.ca || !certificate.checkIssued(issuer)) return false;
    if (++this.#checks > MAX_SIGNATURE_CHECKS) return false;
    if (!certificate.verify(publicKeyOf(issuer))) return false;
    const details = inspectCertificate(issuer.raw);
    // RFC 5280 §4.2.1.9: pathLenConstraint counts the CAs between this one and the leaf.
    if (details.pathLength !== undefined && depth > details.pathLength) return false;
    // The signature of a root is not checked.
    const signature = isRoot ? undefined : signatureFault(details);
    const fault = signature ?? issuerFault(issuer, details) ?? this.#validityFault(issuer);
    this.#fault = fault ?? this.#fault;
    return fault === undefined;
  }

  #validityFault(issuer: X509Certificate): Fault | undefined {
    const { fromMs, toMs } = validity(issuer);
    if (this.#nowEpochMs >= fromMs && this.#nowEpochMs <= toMs) return undefined;
    return {
      alert: Alert.CERTIFICATE_EXPIRED,
      reason: `is not valid now: ${issuer.subject.replaceAll('\n', ', ')}`,
    };
  }

  failUnreached(): never {
    refuse(this.#fault, 'an issuer of the certificate');
    fail(Alert.UNKNOWN_CA, 'no chain leads from the certificate to a trusted one');
  }
}
