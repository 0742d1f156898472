export {
  type DroppedPacket,
  type DropReason,
  type LongPacket,
  MAX_CONNECTION_ID_OCTETS,
  MIN_INITIAL_DATAGRAM_OCTETS,
  type ParsedPacket,
  type RetryPacket,
  type ShortPacket,
  type UnknownVersionPacket,
  VERSION_1,
  type VersionNegotiationPacket,
} from './header.ts';
export { decodePacketNumber, packetNumberLength } from './packet-number.ts';
export { parsePacket } from './parse.ts';
export { buildRetry, RETRY_TAG_OCTETS, type RetryFields, verifyRetry } from './retry.ts';
export {
  buildStatelessReset,
  isStatelessReset,
  MIN_RESET_OCTETS,
  RESET_TOKEN_OCTETS,
  statelessResetToken,
} from './stateless-reset.ts';
export { type RetryTokenFields, TokenCodec, type ValidToken } from './token.ts';
export { buildVersionNegotiation } from './version-negotiation.ts';
export {
  finishPacket,
  type LongHeaderFields,
  longHeaderOctets,
  type PacketSealer,
  writeLongHeader,
  writeShortHeader,
} from './write.ts';
