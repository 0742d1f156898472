import { createHash, X509Certificate } from 'node:crypto';
import { equalOctets } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { plain } from './hkdf.ts';
import type { TlsTrust } from './options.ts';
import { inspectCertificate } from './x509.ts';

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
/** Signatures by MD5 or SHA-1: md5WithRSA, sha1WithRSA, ecdsa-with-SHA1. */
const WEAK_SIGNATURES: readonly string[] = ['2a864886f70d010104', '2a864886f70d010105', '2a8648ce3d0401'];

/** Parses a DER certificate of the peer. */
export function parseCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    fail(Alert.BAD_CERTIFICATE, 'a certificate of the server cannot be parsed');
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
  if (leaf.publicKey.asymmetricKeyType?.startsWith('rsa') !== false) {
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
  checkPurpose(leaf);
  if (!isUnderstood(leaf)) {
    fail(
      Alert.UNSUPPORTED_CERTIFICATE,
      'the certificate has a critical extension or a signature we do not accept',
    );
  }
  const search = new ChainSearch(roots.map(parseCertificate), others, nowEpochMs);
  if (!search.reachesRoot(leaf)) search.failUnreached();
}

function checkName(leaf: X509Certificate, serverName: string): void {
  const found = isIpAddress(serverName)
    ? leaf.checkIP(serverName)
    : // RFC 9110 §4.3.4: the subject's common name is no name to check.
      leaf.checkHost(serverName, { subject: 'never' });
  if (found === undefined) {
    fail(Alert.BAD_CERTIFICATE, `the certificate is not for "${serverName}"`);
  }
}

/** RFC 5280 §4.2.1.12. Node's `keyUsage` is the extended key usage. */
function checkPurpose(leaf: X509Certificate): void {
  const usages: readonly string[] | undefined = leaf.keyUsage;
  if (usages === undefined) return;
  if (!usages.includes(SERVER_AUTH) && !usages.includes(ANY_EXTENDED_KEY_USAGE)) {
    fail(Alert.UNSUPPORTED_CERTIFICATE, 'the certificate is not meant for servers');
  }
}

/** RFC 5280 §4.2: what is critical and not understood (such as name constraints) rules a certificate out. */
function isUnderstood(certificate: X509Certificate): boolean {
  const { criticalExtensions, signatureAlgorithm } = inspectCertificate(certificate.raw);
  return (
    criticalExtensions.every((id) => UNDERSTOOD_EXTENSIONS.includes(id)) &&
    !WEAK_SIGNATURES.includes(signatureAlgorithm)
  );
}

/** Looks for a path from a certificate to a root, depth first, with bounds on depth and on signature checks. */
class ChainSearch {
  readonly #roots: readonly X509Certificate[];
  readonly #intermediates: readonly X509Certificate[];
  readonly #nowEpochMs: number;
  #checks = 0;
  #expired: string | undefined;

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
    for (const root of this.#roots) if (this.#issued(certificate, root, depth)) return true;
    if (depth >= MAX_INTERMEDIATES) return false;
    for (const candidate of this.#intermediates) {
      if (
        candidate !== certificate &&
        isUnderstood(candidate) &&
        this.#issued(certificate, candidate, depth)
      ) {
        if (this.reachesRoot(candidate, depth + 1)) return true;
      }
    }
    return false;
  }

  /** Whether `issuer` is a CA, valid now, whose key signed `certificate`, `depth` certificates above the leaf. */
  #issued(certificate: X509Certificate, issuer: X509Certificate, depth: number): boolean {
    // `checkIssued` compares names, key identifiers and key usage; `ca` is basicConstraints.
    if (!issuer.ca || !certificate.checkIssued(issuer)) return false;
    if (++this.#checks > MAX_SIGNATURE_CHECKS) return false;
    if (!certificate.verify(issuer.publicKey)) return false;
    // RFC 5280 §4.2.1.9: pathLenConstraint counts the CAs between this one and the leaf.
    const { pathLength } = inspectCertificate(issuer.raw);
    if (pathLength !== undefined && depth > pathLength) return false;
    const { fromMs, toMs } = validity(issuer);
    if (this.#nowEpochMs >= fromMs && this.#nowEpochMs <= toMs) return true;
    this.#expired = issuer.subject.replaceAll('\n', ', ');
    return false;
  }

  failUnreached(): never {
    if (this.#expired !== undefined) {
      fail(Alert.CERTIFICATE_EXPIRED, `an issuer of the certificate is not valid now: ${this.#expired}`);
    }
    fail(Alert.UNKNOWN_CA, 'no chain leads from the certificate to a trusted one');
  }
}
