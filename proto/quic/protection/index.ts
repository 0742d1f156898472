export { ApplicationKeys, nextSecret, type OpenedApplicationPacket } from './application-keys.ts';
export {
  type Aead,
  type AeadName,
  type HeaderProtection,
  NODE_CIPHERS,
  NONCE_OCTETS,
  type PacketCiphers,
  SAMPLE_OCTETS,
  TAG_OCTETS,
} from './ciphers.ts';
export { deriveInitialKeys, deriveInitialSecrets } from './initial.ts';
export { type AeadLimits, aeadLimits } from './limits.ts';
export { AeadKeys, type OpenedPacket, PacketKeys } from './packet-keys.ts';
