import { NamedGroup } from './options.ts';
import { CipherSuite } from './types.ts';

export const DEFAULT_CIPHER_SUITES: readonly CipherSuite[] = Object.freeze([
  CipherSuite.TLS_AES_128_GCM_SHA256,
  CipherSuite.TLS_AES_256_GCM_SHA384,
  CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
]);

export const DEFAULT_GROUPS: readonly NamedGroup[] = Object.freeze([NamedGroup.X25519, NamedGroup.SECP256R1]);
