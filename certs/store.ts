import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { makeDirectory } from '../net/files.ts';
import { createDevelopmentCertificate, DEFAULT_HOSTS, type DevelopmentCertificate } from './certificate.ts';

const DAY_MS = 86_400_000;
/** A certificate with less than this left is made anew. */
const RENEW_BEFORE_MS = 2 * DAY_MS;

/** A development certificate and where it is kept. */
export interface StoredCertificate extends DevelopmentCertificate {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** Whether it was made by this call. */
  readonly renewed: boolean;
}

function covers(certificate: X509Certificate, hosts: readonly string[]): boolean {
  return hosts.every((host) => {
    const found = isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host);
    return found !== undefined;
  });
}

/** The certificate and key in these files, or `undefined` when they are missing, unreadable, do not fit or end soon. */
function load(
  certificatePath: string,
  keyPath: string,
  hosts: readonly string[],
  nowMs: number,
): DevelopmentCertificate | undefined {
  let certificate: X509Certificate;
  let privateKey: KeyObject;
  let keyPem: string;
  try {
    certificate = new X509Certificate(readFileSync(certificatePath));
    keyPem = readFileSync(keyPath, 'utf8');
    privateKey = createPrivateKey(keyPem);
  } catch {
    return undefined;
  }
  const notBefore = new Date(certificate.validFrom);
  const notAfter = new Date(certificate.validTo);
  const inTime = notBefore.getTime() <= nowMs && notAfter.getTime() - nowMs >= RENEW_BEFORE_MS;
  if (!inTime || !certificate.checkPrivateKey(privateKey) || !covers(certificate, hosts)) return undefined;
  const der = new Uint8Array(certificate.raw);
  const digest = createHash('sha256').update(der).digest();
  return {
    certificatePem: certificate.toString(),
    keyPem,
    der,
    privateKey,
    sha256: new Uint8Array(digest),
    sha256Hex: digest.toString('hex'),
    notBefore,
    notAfter,
  };
}

/** Writes under another name first: a process that reads meanwhile sees the old file or the new one, never half. */
function writeWhole(path: string, content: string, mode: number): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode });
  renameSync(temporary, path);
}

/**
 * The development certificate in `directory`, made or renewed when it is missing, ends within two days, lacks a host
 * or does not fit its key. The key's file is readable by its owner only. Throws what the file system throws.
 */
export function ensureDevelopmentCertificate(
  directory: string,
  options: { readonly now?: number | Date; readonly hosts?: readonly string[] } = {},
): StoredCertificate {
  const { now = Date.now(), hosts = DEFAULT_HOSTS } = options;
  const certificatePath = resolve(join(directory, 'cert.pem'));
  const keyPath = resolve(join(directory, 'key.pem'));
  const kept = load(certificatePath, keyPath, hosts, new Date(now).getTime());
  if (kept !== undefined) return { ...kept, certificatePath, keyPath, renewed: false };
  const made = createDevelopmentCertificate({ now, hosts });
  makeDirectory(directory, 0o700);
  writeWhole(keyPath, made.keyPem, 0o600);
  writeWhole(certificatePath, made.certificatePem, 0o644);
  return { ...made, certificatePath, keyPath, renewed: true };
}
