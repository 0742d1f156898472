import { X509Certificate } from 'node:crypto';
import type { TlsCertificate } from './options.ts';
import { chooseScheme } from './signatures.ts';

// Parsing a certificate costs more than a whole handshake's hashing, and every connection is given the same objects.
const leaves = new WeakMap<TlsCertificate, X509Certificate | null>();

function leafOf(certificate: TlsCertificate): X509Certificate | null {
  let leaf = leaves.get(certificate);
  if (leaf === undefined) {
    leaf = parse(certificate.chain[0]);
    leaves.set(certificate, leaf);
  }
  return leaf;
}

function parse(der: Uint8Array | undefined): X509Certificate | null {
  if (der === undefined) return null;
  try {
    return new X509Certificate(der);
  } catch {
    return null;
  }
}

export interface Identity {
  readonly certificate: TlsCertificate;
  readonly scheme: number;
  /** Whether the server name decided, or at least agreed. */
  readonly nameMatches: boolean;
}

/**
 * The certificate to show: one for the server name if there is one, else the first, among those whose key can sign in
 * a way the client accepts (RFC 8446 §4.4.2.2). `undefined` when no key can.
 */
export function chooseIdentity(
  certificates: readonly TlsCertificate[],
  serverName: string | undefined,
  offeredSchemes: readonly number[],
): Identity | undefined {
  let fallback: Identity | undefined;
  for (const certificate of certificates) {
    const scheme = chooseScheme(certificate.privateKey, offeredSchemes);
    if (scheme === undefined) continue;
    const leaf = serverName === undefined ? null : leafOf(certificate);
    const nameMatches = leaf !== null && serverName !== undefined && leaf.checkHost(serverName) !== undefined;
    if (nameMatches) return { certificate, scheme, nameMatches };
    fallback ??= { certificate, scheme, nameMatches };
  }
  return fallback;
}
