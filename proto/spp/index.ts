export { formatIp, isIpv4Mapped, parseAddress, parseIp, parseIpInto } from '../wire/index.ts';
export {
  decodeSpp,
  encodeSpp,
  putSppHeader,
  SPP_CLIENT_AT,
  SPP_CLIENT_PORT_AT,
  SPP_HEADER_OCTETS,
  SPP_MAGIC,
  type SppHeader,
  startsWithSpp,
  writeSppHeader,
} from './spp.ts';
