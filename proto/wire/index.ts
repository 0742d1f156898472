export { WireError } from './errors.ts';
export { formatIp, IP_OCTETS, isIpv4Mapped, networkOf, parseAddress, parseIp, parseIpInto } from './ip.ts';
export { OctetBuffer } from './octet-buffer.ts';
export { concat, equalOctets, fromHex, toHex } from './octets.ts';
export { Queue } from './queue.ts';
export { Reader } from './reader.ts';
export { encodeVarint, MAX_SAFE_VARINT, varintLength } from './varint.ts';
export { Writer } from './writer.ts';
