export { ApplicationKeys, nextSecret, type OpenedApplicationPacket } from './application-keys.ts';
export { createHeaderProtection, type HeaderProtection, SAMPLE_OCTETS } from './header-protection.ts';
export { deriveInitialKeys, deriveInitialSecrets } from './initial.ts';
export { type AeadLimits, aeadLimits } from './limits.ts';
export { AeadKeys, type OpenedPacket, PacketKeys, TAG_OCTETS } from './packet-keys.ts';
