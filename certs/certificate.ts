import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { parseIp } from '../proto/wire/index.ts';
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from './der.ts';

/** Browsers accept a certificate by its hash only when its whole validity is two weeks at most. */
const MAX_VALIDITY_DAYS = 14;
const DEFAULT_VALIDITY_DAYS = 13;
/** Names that the demo page and the tests call: each backend has one below localhost. */
export const DEFAULT_HOSTS: readonly string[] = ['localhost', '*.localhost', '127.0.0.1', '::1'];

const DAY_MS = 86_400_000;
/** How far a browser's clock may be behind ours. */
const CLOCK_SKEW_MS = 300_000;
const SEED_OCTETS = 32;
/** Labels of letters, digits and hyphens, the first may be a wildcard (RFC 5280 §4.2.1.6). */
const HOST_NAME = /^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i;
/** PKCS #8 around an Ed25519 seed (RFC 8410 §7). */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

export type CertificateAlgorithm = 'ecdsa-p256' | 'ed25519';

export interface DevelopmentCertificateOptions {
  /** The present, as milliseconds since 1970 or a date. */
  readonly now: number | Date;
  /** DNS names and IP addresses for the subjectAltName. */
  readonly hosts?: readonly string[];
  /** Whole validity in days, at most 14. */
  readonly days?: number;
  /** Browsers want `ecdsa-p256`, the default. */
  readonly algorithm?: CertificateAlgorithm;
  /** 32 octets that an Ed25519 key and the serial number are made from: the same seed gives the same certificate. */
  readonly seed?: Uint8Array;
}

export interface DevelopmentCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly der: Uint8Array;
  readonly privateKey: KeyObject;
  /** SHA-256 of `der`, what `serverCertificateHashes` wants. */
  readonly sha256: Uint8Array;
  readonly sha256Hex: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

function makeKey(algorithm: CertificateAlgorithm, seed: Uint8Array | undefined): KeyObject {
  if (seed !== undefined) {
    if (algorithm !== 'ed25519') throw new TypeError('only an Ed25519 certificate can be made from a seed');
    if (seed.length !== SEED_OCTETS) {
      throw new RangeError(`the seed has ${seed.length} octets, but must have ${SEED_OCTETS}`);
    }
    const key = Buffer.concat([ED25519_PKCS8_PREFIX, seed]);
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  }
  return algorithm === 'ed25519'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function generalName(host: string): Buffer {
  const octets = parseIp(host);
  if (octets === undefined) return implicit(2, Buffer.from(host, 'ascii'));
  // An IPv4 address is four octets in a certificate, not the mapped form.
  return implicit(7, host.includes(':') ? octets : octets.subarray(12));
}

function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return critical
    ? sequence(oid(id), boolean(true), octetString(value))
    : sequence(oid(id), octetString(value));
}

function extensions(hosts: readonly string[], keyId: Uint8Array): Buffer {
  return explicit(
    3,
    sequence(
      // subjectAltName, basicConstraints (not a CA), keyUsage digitalSignature, extKeyUsage serverAuth, subjectKeyIdentifier,
      // authorityKeyIdentifier: all have one name, and OpenSSL tells two that it trusts apart by nothing else
      extension('2.5.29.17', false, sequence(...hosts.map(generalName))),
      extension('2.5.29.19', true, sequence()),
      extension('2.5.29.15', true, bitString(Buffer.from([0x80]), 7)),
      extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'))),
      extension('2.5.29.14', false, octetString(keyId)),
      extension('2.5.29.35', false, sequence(implicit(0, keyId))),
    ),
  );
}

function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function serialNumber(seed: Uint8Array | undefined, notBefore: Date): Buffer {
  const octets = seed
    ? createHash('sha256')
        .update('serial')
        .update(seed)
        .update(notBefore.toISOString())
        .digest()
        .subarray(0, 16)
    : randomBytes(16);
  // Positive and never zero (RFC 5280 §4.1.2.2).
  octets[0] = ((octets[0] ?? 0) & 0x3f) | 0x40;
  return octets;
}

/**
 * Makes a self-signed X.509v3 certificate for development: valid from five minutes ago for `days` days in all. Throws
 * `RangeError` for a validity above two weeks, which no browser would accept by its hash, or for no host or a wrong one.
 */
export function createDevelopmentCertificate(options: DevelopmentCertificateOptions): DevelopmentCertificate {
  const { hosts = DEFAULT_HOSTS, days = DEFAULT_VALIDITY_DAYS, algorithm = 'ecdsa-p256', seed } = options;
  if (!(days > 0) || days > MAX_VALIDITY_DAYS) {
    throw new RangeError(`a validity of ${days} days is not above 0 and at most ${MAX_VALIDITY_DAYS}`);
  }
  if (hosts.length === 0) throw new RangeError('a certificate needs at least one host');
  for (const host of hosts) {
    if (parseIp(host) === undefined && !HOST_NAME.test(host))
      throw new RangeError(
        `"${host}" is no host name; write other scripts in their ASCII form, as in xn--bcher-kva.example`,
      );
  }
  const privateKey = makeKey(algorithm, seed);
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const startMs = Math.floor((new Date(options.now).getTime() - CLOCK_SKEW_MS) / 1000) * 1000;
  const notBefore = new Date(startMs);
  const notAfter = new Date(startMs + days * DAY_MS);
  // ecdsa-with-SHA256 (RFC 5758 §3.2), id-Ed25519 (RFC 8410 §3)
  const signatureAlgorithm = sequence(oid(algorithm === 'ed25519' ? '1.3.101.112' : '1.2.840.10045.4.3.2'));
  const name = sequence(set(sequence(oid('2.5.4.3'), utf8String('Parley development'))));
  const toBeSigned = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(serialNumber(seed, notBefore)),
    signatureAlgorithm,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    publicKey,
    extensions(hosts, createHash('sha1').update(publicKey).digest()),
  );
  const signature = sign(algorithm === 'ed25519' ? null : 'sha256', toBeSigned, privateKey);
  const der = new Uint8Array(sequence(toBeSigned, signatureAlgorithm, bitString(signature)));
  const digest = createHash('sha256').update(der).digest();
  return {
    certificatePem: toPem(der),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    der,
    privateKey,
    sha256: new Uint8Array(digest),
    sha256Hex: digest.toString('hex'),
    notBefore,
    notAfter,
  };
}
