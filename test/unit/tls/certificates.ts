import { constants, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { concat } from '../../../proto/wire/index.ts';

// A minimal X.509 writer, so that tests make just the certificate, sound or faulty, that they are about.

const DAY_MS = 86_400_000;

export interface CertificateSpec {
  readonly subject: string;
  readonly key: KeyObject;
  /** Default: self-signed. */
  readonly issuer?: { readonly subject: string; readonly key: KeyObject };
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly (readonly number[])[];
  readonly isCa?: boolean;
  readonly fromMs?: number;
  readonly days?: number;
  readonly extendedKeyUsage?: readonly string[];
  readonly pathLength?: number;
  /** An extension of this identifier, critical, with an empty sequence in it. */
  readonly criticalExtension?: string;
  /** The same, not critical. */
  readonly plainExtension?: string;
  /** The octet of the key usage: 0x80 is digitalSignature, 0x20 keyEncipherment, 0x04 keyCertSign. */
  readonly keyUsage?: number;
  /** How it is signed, otherwise as fits the issuer's key. */
  readonly signedWith?: keyof typeof SIGNATURES;
  /** Holds a key of an unknown algorithm. */
  readonly hasStrangeKey?: boolean;
  /** Of X.509v1, without a version and extensions. */
  readonly isVersion1?: boolean;
}

/** The instant that test certificates are made for. */
export const NOW_MS = Date.UTC(2026, 10, 21, 12, 0, 0);

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(parts);
  const size = body.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return concat([Uint8Array.of(tag, ...length), body]);
}

const text = (value: string) => new TextEncoder().encode(value);
const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);

function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second];
  for (const arc of rest) {
    const group = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) group.unshift((left & 0x7f) | 0x80);
    octets.push(...group);
  }
  return der(0x06, Uint8Array.from(octets));
}

function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return der(0x18, text(`${digits}Z`));
}

const name = (commonName: string) =>
  sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, text(commonName)))));

function algorithm(key: KeyObject): Signature {
  if (key.asymmetricKeyType === 'ed25519') return { id: sequence(oid('1.3.101.112')), hash: null };
  if (key.asymmetricKeyType === 'rsa') {
    return { id: sequence(oid('1.2.840.113549.1.1.11'), der(0x05)), hash: 'sha256' };
  }
  return { id: sequence(oid('1.2.840.10045.4.3.2')), hash: 'sha256' };
}

interface Signature {
  readonly id: Uint8Array;
  readonly hash: string | null;
  readonly isPss?: boolean;
}

const pss = (...parameters: readonly Uint8Array[]) =>
  sequence(oid('1.2.840.113549.1.1.10'), sequence(...parameters));
const SHA256 = sequence(oid('2.16.840.1.101.3.4.2.1'));

const SIGNATURES = {
  'ecdsa-sha1': { id: sequence(oid('1.2.840.10045.4.1')), hash: 'sha1' },
  'rsa-md5': { id: sequence(oid('1.2.840.113549.1.1.4'), der(0x05)), hash: 'md5' },
  // The default hash of RSA-PSS is SHA-1.
  'pss-sha1': { id: pss(), hash: 'sha1', isPss: true },
  'pss-sha256': {
    id: pss(
      der(0xa0, SHA256),
      der(0xa1, sequence(oid('1.2.840.113549.1.1.8'), SHA256)),
      der(0xa2, der(0x02, Uint8Array.of(32))),
    ),
    hash: 'sha256',
    isPss: true,
  },
} as const satisfies Readonly<Record<string, Signature>>;

function extensions(spec: CertificateSpec): Uint8Array {
  const list: Uint8Array[] = [];
  const names = [
    ...(spec.dnsNames ?? []).map((dns) => der(0x82, text(dns))),
    ...(spec.ipAddresses ?? []).map((ip) => der(0x87, Uint8Array.from(ip))),
  ];
  if (names.length > 0) list.push(sequence(oid('2.5.29.17'), der(0x04, sequence(...names))));
  const limit = spec.pathLength === undefined ? [] : [der(0x02, Uint8Array.of(spec.pathLength))];
  const ca = spec.isCa === true ? sequence(der(0x01, Uint8Array.of(0xff)), ...limit) : sequence();
  if (spec.criticalExtension !== undefined) {
    list.push(sequence(oid(spec.criticalExtension), der(0x01, Uint8Array.of(0xff)), der(0x04, sequence())));
  }
  if (spec.plainExtension !== undefined) {
    list.push(sequence(oid(spec.plainExtension), der(0x04, sequence())));
  }
  if (spec.keyUsage !== undefined) {
    list.push(sequence(oid('2.5.29.15'), der(0x04, der(0x03, Uint8Array.of(0, spec.keyUsage)))));
  }
  list.push(sequence(oid('2.5.29.19'), der(0x01, Uint8Array.of(0xff)), der(0x04, ca)));
  if (spec.extendedKeyUsage !== undefined) {
    list.push(sequence(oid('2.5.29.37'), der(0x04, sequence(...spec.extendedKeyUsage.map(oid)))));
  }
  return der(0xa3, sequence(...list));
}

/** A certificate in DER. */
export function makeCertificate(spec: CertificateSpec): Uint8Array {
  const issuer = spec.issuer ?? spec;
  const {
    id,
    hash,
    isPss = false,
  }: Signature = spec.signedWith === undefined ? algorithm(issuer.key) : SIGNATURES[spec.signedWith];
  const padding = isPss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  const fromMs = spec.fromMs ?? NOW_MS - DAY_MS;
  const strange = sequence(sequence(oid('1.2.3.4')), der(0x03, Uint8Array.of(0, 1, 2, 3)));
  const spki = spec.hasStrangeKey
    ? strange
    : createPublicKey(spec.key).export({ format: 'der', type: 'spki' });
  const tbs = sequence(
    ...(spec.isVersion1 ? [] : [der(0xa0, der(0x02, Uint8Array.of(2)))]),
    der(0x02, Uint8Array.of(1)),
    id,
    name(issuer.subject),
    sequence(time(fromMs), time(fromMs + (spec.days ?? 10) * DAY_MS)),
    name(spec.subject),
    spki,
    ...(spec.isVersion1 ? [] : [extensions(spec)]),
  );
  return sequence(tbs, id, der(0x03, Uint8Array.of(0), sign(hash, tbs, { key: issuer.key, ...padding })));
}

export const keys = {
  ecdsa: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
  otherEcdsa: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ed25519: generateKeyPairSync('ed25519').privateKey,
  root: generateKeyPairSync('ed25519').privateKey,
  intermediate: generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
};

export type KeyName = 'ecdsa' | 'rsa' | 'ed25519';

export const rootCertificate = makeCertificate({
  subject: 'Test Root',
  key: keys.root,
  isCa: true,
  days: 3650,
});
export const intermediateCertificate = makeCertificate({
  subject: 'Test Intermediate',
  key: keys.intermediate,
  issuer: { subject: 'Test Root', key: keys.root },
  isCa: true,
  days: 365,
});

/** A leaf for example.test under root and intermediate, with the chain to show. */
export function leafChain(keyName: KeyName, spec: Partial<CertificateSpec> = {}): Uint8Array[] {
  const leaf = makeCertificate({
    subject: 'leaf',
    key: keys[keyName],
    issuer: { subject: 'Test Intermediate', key: keys.intermediate },
    dnsNames: ['example.test'],
    ...spec,
  });
  return [leaf, intermediateCertificate];
}
