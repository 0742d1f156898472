export {
  type LongPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  type ParsedPacket,
  type RetryPacket,
  type ShortPacket,
  VERSION_1,
  type VersionNegotiationPacket,
} from './header.ts';
export { decodePacketNumber, packetNumberLength } from './packet-number.ts';
export { parsePacket } from './parse.ts';
export { buildRetry, verifyRetry } from './retry.ts';
export {
  buildStatelessReset,
  isStatelessReset,
  MIN_RESET_OCTETS,
  RESET_TOKEN_OCTETS,
  statelessResetToken,
} from './stateless-reset.ts';
export { TokenCodec, type ValidToken } from './token.ts';
export { buildVersionNegotiation } from './version-negotiation.ts';
export {
  finishPacket,
  type LongHeaderFields,
  longHeaderOctets,
  type PacketSealer,
  writeLongHeader,
  writeShortHeader,
} from './write.ts';
