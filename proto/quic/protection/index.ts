export { ApplicationKeys, nextSecret } from './application-keys.ts';
export { createHeaderProtection } from './header-protection.ts';
export { deriveInitialKeys, deriveInitialSecrets } from './initial.ts';
export { type AeadLimits, aeadLimits } from './limits.ts';
export { type OpenedPacket, PacketKeys, TAG_OCTETS } from './packet-keys.ts';
