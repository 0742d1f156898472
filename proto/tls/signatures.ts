import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { concat } from '../wire/index.ts';
import { plain } from './hkdf.ts';

/** Signature schemes of CertificateVerify (RFC 8446 §4.2.3). */
export const SignatureScheme = {
  ECDSA_SECP256R1_SHA256: 0x0403,
  ECDSA_SECP384R1_SHA384: 0x0503,
  RSA_PSS_RSAE_SHA256: 0x0804,
  RSA_PSS_RSAE_SHA384: 0x0805,
  RSA_PSS_RSAE_SHA512: 0x0806,
  ED25519: 0x0807,
} as const;

interface Scheme {
  readonly code: number;
  /** `asymmetricKeyType` of a key that fits. */
  readonly keyType: 'ec' | 'rsa' | 'ed25519';
  /** OpenSSL's name of the curve, for `ec`. */
  readonly curve?: string;
  readonly hash: string | null;
}

const SCHEMES: readonly Scheme[] = [
  { code: SignatureScheme.ECDSA_SECP256R1_SHA256, keyType: 'ec', curve: 'prime256v1', hash: 'sha256' },
  { code: SignatureScheme.ED25519, keyType: 'ed25519', hash: null },
  { code: SignatureScheme.RSA_PSS_RSAE_SHA256, keyType: 'rsa', hash: 'sha256' },
  { code: SignatureScheme.ECDSA_SECP384R1_SHA384, keyType: 'ec', curve: 'secp384r1', hash: 'sha384' },
  { code: SignatureScheme.RSA_PSS_RSAE_SHA384, keyType: 'rsa', hash: 'sha384' },
  { code: SignatureScheme.RSA_PSS_RSAE_SHA512, keyType: 'rsa', hash: 'sha512' },
];

/** All schemes, as the client offers them. */
export const SIGNATURE_SCHEMES: readonly number[] = SCHEMES.map((scheme) => scheme.code);

/** What may sign certificates in a chain: the above and the PKCS #1 that public CAs still use. */
export const CERTIFICATE_SIGNATURE_SCHEMES: readonly number[] = [
  ...SIGNATURE_SCHEMES,
  0x0401,
  0x0501,
  0x0601,
];

const textEncoder = new TextEncoder();
const SERVER_CONTEXT = concat([
  new Uint8Array(64).fill(0x20),
  textEncoder.encode('TLS 1.3, server CertificateVerify'),
  Uint8Array.of(0),
]);

function fits(scheme: Scheme, key: KeyObject): boolean {
  if (key.asymmetricKeyType !== scheme.keyType) return false;
  return scheme.curve === undefined || key.asymmetricKeyDetails?.namedCurve === scheme.curve;
}

/** Whether a key can make or check signatures of the scheme. */
export function schemeFitsKey(code: number, key: KeyObject): boolean {
  const scheme = SCHEMES.find((candidate) => candidate.code === code);
  return scheme !== undefined && fits(scheme, key);
}

/** The scheme to sign with, by our preference among what the peer takes. */
export function chooseScheme(key: KeyObject, offered: readonly number[]): number | undefined {
  return SCHEMES.find((scheme) => offered.includes(scheme.code) && fits(scheme, key))?.code;
}

function keyWithPadding(scheme: Scheme, key: KeyObject) {
  if (scheme.keyType !== 'rsa') return { key };
  return {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
}

/** The server's signature over the transcript (RFC 8446 §4.4.3). The key must fit the scheme. */
export function signTranscript(code: number, key: KeyObject, transcriptHash: Uint8Array): Uint8Array {
  const scheme = SCHEMES.find((candidate) => candidate.code === code);
  if (scheme === undefined) throw new Error(`signature scheme ${code} is not known`);
  return plain(sign(scheme.hash, concat([SERVER_CONTEXT, transcriptHash]), keyWithPadding(scheme, key)));
}

/** Whether `signature` is the server's over the transcript (RFC 8446 §4.4.3). */
export function verifyTranscript(
  code: number,
  key: KeyObject,
  transcriptHash: Uint8Array,
  signature: Uint8Array,
): boolean {
  const scheme = SCHEMES.find((candidate) => candidate.code === code);
  if (scheme === undefined || !fits(scheme, key)) return false;
  const content = concat([SERVER_CONTEXT, transcriptHash]);
  try {
    return verify(scheme.hash, content, keyWithPadding(scheme, key), signature);
  } catch {
    // OpenSSL reports some malformed signatures and unfit keys by an error.
    return false;
  }
}
