export { formatIp, isIpv4Mapped, parseAddress, parseIp, parseIpInto } from '../wire/index.ts';
export { decodeSpp, encodeSpp, SPP_HEADER_OCTETS, SPP_MAGIC, type SppHeader, writeSppHeader } from './spp.ts';
