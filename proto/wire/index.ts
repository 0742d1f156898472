export { WireError } from './errors.ts';
export {
  formatAddress,
  formatIp,
  IP_OCTETS,
  isIpv4Mapped,
  networkOf,
  parseAddress,
  parseIp,
  parseIpInto,
} from './ip.ts';
export { type JsonResult, parseJson } from './json.ts';
export { LazyMap, LazySet } from './lazy.ts';
export { OctetBuffer } from './octet-buffer.ts';
export { concat, equalOctets, fromHex, toHex } from './octets.ts';
export { Queue } from './queue.ts';
export { Reader } from './reader.ts';
export { SipHash, type SipKey, sipKey } from './siphash.ts';
export {
  encodeVarint,
  MAX_SAFE_VARINT,
  readVarint,
  VarintOctets,
  varintLength,
  varintLengthFrom,
} from './varint.ts';
export { Writer } from './writer.ts';
