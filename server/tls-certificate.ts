import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import type { TlsCertificate } from '../proto/tls/index.ts';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Loads a certificate chain (PEM, leaf first) and its private key. Throws `StartupError` when a file is missing or
 * unreadable, the two do not belong together, or the certificate is not valid now.
 */
export function loadCertificate(
  certificatePath: string,
  keyPath: string,
  nowEpochMs: number,
): TlsCertificate {
  const blocks = readFileOrStop(certificatePath, 'certificate').match(PEM_CERTIFICATE) ?? [];
  let chain: X509Certificate[];
  try {
    chain = blocks.map((pem) => new X509Certificate(pem));
  } catch (error) {
    throw new StartupError(
      `certificate: ${certificatePath} is not a PEM certificate: ${(error as Error).message}.`,
    );
  }
  const leaf = chain[0];
  if (leaf === undefined) throw new StartupError(`certificate: ${certificatePath} holds no PEM certificate.`);
  const keyText = readFileOrStop(keyPath, 'private key');
  let privateKey: ReturnType<typeof createPrivateKey>;
  try {
    privateKey = createPrivateKey(keyText);
  } catch {
    throw new StartupError(`private key: ${keyPath} is not an unencrypted PEM private key.`);
  }
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new StartupError(`private key: ${keyPath} does not belong to the certificate ${certificatePath}.`);
  }
  const type = createPublicKey(privateKey).asymmetricKeyType;
  if (type !== 'ec' && type !== 'rsa' && type !== 'ed25519') {
    throw new StartupError(`private key: ${keyPath} is of type ${type}; use ECDSA P-256, RSA or Ed25519.`);
  }
  if (nowEpochMs < Date.parse(leaf.validFrom) || nowEpochMs > Date.parse(leaf.validTo)) {
    throw new StartupError(
      `certificate: ${certificatePath} is valid from ${leaf.validFrom} to ${leaf.validTo}, not now; run \`npm run certs\` or renew it.`,
    );
  }
  return { chain: chain.map((certificate) => new Uint8Array(certificate.raw)), privateKey };
}
