import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import { inspectCertificate, STRONG_SIGNATURES, type TlsCertificate } from '../proto/tls/index.ts';

/** The labels that OpenSSL takes for a certificate too; TRUSTED is followed by data of its own. */
const PEM_CERTIFICATE = /-----BEGIN (TRUSTED |X509 |)CERTIFICATE-----([^-]+)-----END \1CERTIFICATE-----/g;
const MIN_RSA_BITS = 2048;
/** Curves for which every browser takes signatures. Chromium takes none of P-521. */
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384' };
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';
const WANTED_KEYS = `use ECDSA P-256 or P-384, or RSA of ${MIN_RSA_BITS} bits and more`;

/** A certificate with its key, and sentences about what an operator should know of them. */
export interface LoadedCertificate extends TlsCertificate {
  readonly warnings: readonly string[];
}

/** What is wrong with a certificate's files, one sentence per fault. */
class Faults {
  readonly #sentences: string[] = [];

  add(sentence: string): void {
    this.#sentences.push(sentence);
  }

  stopIfAny(): void {
    if (this.#sentences.length > 0) throw new StartupError(this.#sentences.join('\n'));
  }
}

/** Octets of the DER element at the beginning: `BEGIN TRUSTED CERTIFICATE` has more behind it. */
function firstElement(der: Buffer): Buffer {
  const first = der[1] ?? 0;
  if (first < 0x80) return der.subarray(0, 2 + first);
  const lengthOctets = first & 0x7f;
  if (lengthOctets < 1 || lengthOctets > 4 || der.length < 2 + lengthOctets) return der;
  return der.subarray(0, 2 + lengthOctets + der.readUIntBE(2, lengthOctets));
}

function readCertificates(path: string): X509Certificate[] {
  const found = new Map<string, X509Certificate>();
  for (const [, , base64] of readFileOrStop(path, 'certificate').matchAll(PEM_CERTIFICATE)) {
    try {
      const certificate = new X509Certificate(firstElement(Buffer.from(base64!, 'base64')));
      found.set(certificate.fingerprint256, certificate);
    } catch {
      throw new StartupError(`certificate: ${path} holds a PEM block that is no X.509 certificate.`);
    }
  }
  if (found.size === 0) throw new StartupError(`certificate: ${path} holds no PEM certificate.`);
  return [...found.values()];
}

function readKey(path: string): KeyObject {
  const text = readFileOrStop(path, 'private key');
  try {
    return createPrivateKey(text);
  } catch {
    const why = /ENCRYPTED/.test(text)
      ? `${path} is encrypted; decrypt it, for example with \`openssl pkey\``
      : `${path} is not an unencrypted PEM private key`;
    throw new StartupError(`private key: ${why}.`);
  }
}

/** Why no browser takes signatures of this key. */
function keyFault(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    return bits < MIN_RSA_BITS ? `is RSA of ${bits} bits, which browsers refuse` : undefined;
  }
  if (type === 'ec') {
    const curve = details?.namedCurve ?? 'an unnamed curve';
    return CURVES[curve] === undefined ? `is ECDSA on ${curve}, which browsers refuse` : undefined;
  }
  return `is of type ${type}, which browsers refuse`;
}

/** Subject as it is read aloud: the common name, or all of it on one line. */
function nameOf(certificate: X509Certificate): string {
  const subject = certificate.subject ?? '';
  return /^CN=(.*)$/m.exec(subject)?.[1] ?? (subject.replaceAll('\n', ', ') || 'without a name');
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** Also for a certificate whose keyUsage does not let it issue others, which `checkIssued` looks at. */
function isSelfSigned(certificate: X509Certificate): boolean {
  return certificate.issuer === certificate.subject && certificate.verify(certificate.publicKey);
}

/** The leaf and its issuers in the order in which TLS sends them, and what belongs to neither. */
function orderChain(leaf: X509Certificate, all: readonly X509Certificate[]) {
  const chain = [leaf];
  const left = new Set(all);
  left.delete(leaf);
  for (let last = leaf; ; ) {
    const issuer = [...left].find((candidate) => isIssuedBy(last, candidate));
    if (issuer === undefined) return { chain, unrelated: [...left] };
    chain.push(issuer);
    left.delete(issuer);
    last = issuer;
  }
}

/** The certificate of the key: after a renewal that was appended to the file, the one that ends last. */
function findLeaf(all: readonly X509Certificate[], key: KeyObject): X509Certificate | undefined {
  return all
    .filter((certificate) => certificate.checkPrivateKey(key))
    .sort((a, b) => Date.parse(b.validTo) - Date.parse(a.validTo))[0];
}

function checkLeaf(leaf: X509Certificate, path: string, nowEpochMs: number, faults: Faults): void {
  const add = (sentence: string) => faults.add(`certificate: ${path} ${sentence}.`);
  if (nowEpochMs < Date.parse(leaf.validFrom))
    add(`is valid from ${leaf.validFrom} on, not now; look at the clock of this machine or wait`);
  if (nowEpochMs > Date.parse(leaf.validTo))
    add(
      `ended on ${leaf.validTo}, it is not valid now; renew it, or make one for development with \`npm run certs\``,
    );
  if (leaf.subjectAltName === undefined)
    add('names no host in subjectAltName, and browsers read no other name; have it issued with one');
  const uses: readonly string[] | undefined = leaf.keyUsage;
  if (uses !== undefined && !uses.includes(SERVER_AUTH) && !uses.includes(ANY_EXTENDED_KEY_USAGE))
    add('is not for servers (extendedKeyUsage lacks serverAuth); have it issued for one');
  const details = inspectCertificate(new Uint8Array(leaf.raw));
  if (!details.signs) add('is not for signatures (keyUsage lacks digitalSignature); have it issued for them');
}

/** Browsers take no signature over SHA-1 or MD5, but do not look at that of a root on itself (RFC 8446 §4.4.2.4). */
function checkSignatures(chain: readonly X509Certificate[], path: string, faults: Faults): void {
  for (const certificate of chain) {
    const { signatureAlgorithm } = inspectCertificate(new Uint8Array(certificate.raw));
    const isRoot = certificate !== chain[0] && isSelfSigned(certificate);
    if (!isRoot && !STRONG_SIGNATURES.includes(signatureAlgorithm))
      faults.add(
        `certificate: "${nameOf(certificate)}" in ${path} is signed with an algorithm that browsers refuse, such as SHA-1; have it issued anew.`,
      );
  }
}

function warningsOf(
  chain: readonly X509Certificate[],
  unrelated: readonly X509Certificate[],
  path: string,
  nowEpochMs: number,
): string[] {
  const [leaf, ...issuers] = chain;
  const warnings = unrelated.map(
    (certificate) =>
      `certificate: "${nameOf(certificate)}" in ${path} is no part of the chain of "${nameOf(leaf!)}" and is not sent.`,
  );
  for (const issuer of issuers) {
    if (nowEpochMs > Date.parse(issuer.validTo))
      warnings.push(`certificate: the issuer "${nameOf(issuer)}" in ${path} ended on ${issuer.validTo}.`);
  }
  if (issuers.length === 0 && !isSelfSigned(leaf!))
    warnings.push(
      `certificate: ${path} lacks the certificate of its issuer; browsers that do not know it refuse the call. Use the full chain.`,
    );
  return warnings;
}

/**
 * Loads certificates (PEM, in any order) and a private key, and puts the chain in order: the key's certificate first, then its
 * issuers. Throws `StartupError`, one sentence per fault, when a file cannot be read, the two do not belong together, the
 * certificate is not valid now, or browsers would refuse it whatever they trust.
 */
export function loadCertificate(
  certificatePath: string,
  keyPath: string,
  nowEpochMs: number,
): LoadedCertificate {
  const all = readCertificates(certificatePath);
  const privateKey = readKey(keyPath);
  const leaf = findLeaf(all, privateKey);
  if (leaf === undefined)
    throw new StartupError(
      `private key: ${keyPath} does not belong to any certificate in ${certificatePath}.`,
    );
  const { chain, unrelated } = orderChain(leaf, all);
  const faults = new Faults();
  const unfit = keyFault(privateKey);
  if (unfit !== undefined) faults.add(`private key: ${keyPath} ${unfit}; ${WANTED_KEYS}.`);
  checkLeaf(leaf, certificatePath, nowEpochMs, faults);
  checkSignatures(chain, certificatePath, faults);
  faults.stopIfAny();
  return {
    chain: chain.map((certificate) => new Uint8Array(certificate.raw)),
    privateKey,
    warnings: warningsOf(chain, unrelated, certificatePath, nowEpochMs),
  };
}
