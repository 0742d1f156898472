import { CipherSuite } from './types.ts';

/** Hash functions of TLS 1.3 cipher suites (RFC 8446 §B.4), as node:crypto names them. */
export type HashName = 'sha256' | 'sha384';

/** What a cipher suite is made of. */
export interface SuiteParts {
  readonly hash: HashName;
  readonly aead: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
  /** Octets of the AEAD's key, and of QUIC's header protection key (RFC 9001 §5.4). */
  readonly keyOctets: number;
}

const PARTS: { readonly [suite in CipherSuite]: SuiteParts } = {
  [CipherSuite.TLS_AES_128_GCM_SHA256]: { hash: 'sha256', aead: 'aes-128-gcm', keyOctets: 16 },
  [CipherSuite.TLS_AES_256_GCM_SHA384]: { hash: 'sha384', aead: 'aes-256-gcm', keyOctets: 32 },
  [CipherSuite.TLS_CHACHA20_POLY1305_SHA256]: { hash: 'sha256', aead: 'chacha20-poly1305', keyOctets: 32 },
};

export function suiteParts(suite: CipherSuite): SuiteParts {
  return PARTS[suite];
}

/** Octets of a hash; of every secret derived with it as well. */
export function hashOctets(hash: HashName): number {
  return hash === 'sha384' ? 48 : 32;
}
