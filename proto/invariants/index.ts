export {
  HeaderForm,
  isReservedVersion,
  MAX_CID_OCTETS,
  PacketHead,
  VERSION_NEGOTIATION,
} from './packet-head.ts';
export {
  buildProbe,
  encodeVersionNegotiation,
  PROBE_OCTETS,
  parseVersionNegotiation,
  readVersions,
  type VersionNegotiation,
} from './version-negotiation.ts';
