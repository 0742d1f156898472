export { ApplicationKeys, nextSecret } from './application-keys.ts';
export {
  type Aead,
  type AeadName,
  type HeaderProtection,
  NODE_CIPHERS,
  type PacketCiphers,
  TAG_OCTETS,
} from './ciphers.ts';
export { deriveInitialKeys, deriveInitialSecrets } from './initial.ts';
export { type AeadLimits, aeadLimits } from './limits.ts';
export { type OpenedPacket, PacketKeys } from './packet-keys.ts';
