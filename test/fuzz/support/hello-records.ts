import { ClientHelloRecords } from '../../../proto/client-hello/index.ts';
import { concat } from '../../../proto/wire/index.ts';

/** A ClientHello in one record, as it goes over TCP. */
export function helloRecord(hello: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(22, 3, 1, hello.length >> 8, hello.length & 0xff), hello]);
}

/** Has the server_name looked for in pieces of 100 octets. */
export function readHelloRecords(octets: Uint8Array): void {
  const records = new ClientHelloRecords();
  for (let at = 0; at < octets.length; at += 100) records.take(octets.subarray(at, at + 100));
}
