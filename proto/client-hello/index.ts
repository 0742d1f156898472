export { type PartialOctets, type PeekedName, peekServerName } from './peek.ts';
export { ClientHelloRecords, MAX_RECORD_OCTETS } from './records.ts';
export { parseServerName } from './server-name.ts';
