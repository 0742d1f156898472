export { formatIp, isIpv4Mapped, parseAddress, parseIp, parseIpInto } from '../wire/index.ts';
export {
  decodeSpp,
  encodeSpp,
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  SPP_HEADER_OCTETS,
  SPP_MAGIC,
  SPP_PROXY_AT,
  SPP_PROXY_PORT_AT,
  type SppHeader,
  startsWithSpp,
  writeSppHeader,
} from './spp.ts';
export {
  TAG_OCTETS,
  TUNNEL_FAULT,
  TUNNEL_OVERHEAD_OCTETS,
  TunnelEnd,
  type TunnelKeys,
  type TunnelTag,
} from './tunnel.ts';
