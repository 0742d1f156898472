import { parseServerName } from '../client-hello/index.ts';
import { Reader, type Writer } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import {
  type Extensions,
  expectEnd,
  extension,
  readCodes,
  readVector8,
  readVector16,
  vector,
} from './codec.ts';

/** Extension types (RFC 8446 §4.2, RFC 9001 §8.2). */
export const ExtensionType = {
  SERVER_NAME: 0,
  SUPPORTED_GROUPS: 10,
  SIGNATURE_ALGORITHMS: 13,
  ALPN: 16,
  PRE_SHARED_KEY: 41,
  EARLY_DATA: 42,
  SUPPORTED_VERSIONS: 43,
  COOKIE: 44,
  PSK_KEY_EXCHANGE_MODES: 45,
  SIGNATURE_ALGORITHMS_CERT: 50,
  KEY_SHARE: 51,
  QUIC_TRANSPORT_PARAMETERS: 57,
} as const;

export const TLS13 = 0x0304;
const HOST_NAME = 0;

export interface KeyShareEntry {
  readonly group: number;
  readonly key: Uint8Array;
}

/** The body of an extension that must be there: missing_extension otherwise (RFC 8446 §9.2). */
export function required(extensions: Extensions, type: number, name: string): Reader {
  const body = extensions.get(type);
  if (body === undefined) fail(Alert.MISSING_EXTENSION, `the ${name} extension is missing`);
  return new Reader(body);
}

const KNOWN_EXTENSIONS: readonly number[] = Object.values(ExtensionType);

/** An extension that we know stands only where it has a meaning; others are ignored (RFC 8446 §4.2). */
export function refuseMisplaced(extensions: Extensions, allowed: readonly number[], what: string): void {
  for (const type of extensions.keys()) {
    if (KNOWN_EXTENSIONS.includes(type) && !allowed.includes(type))
      fail(Alert.ILLEGAL_PARAMETER, `extension ${type} does not belong in ${what}`);
  }
}

/** Only extensions that were asked for may come back, a cookie apart, each in its own message (RFC 8446 §4.2). */
export function allowOnly(
  extensions: Extensions,
  allowed: readonly number[],
  offered: readonly number[],
  what: string,
): void {
  for (const type of extensions.keys()) {
    if (!offered.includes(type) && type !== ExtensionType.COOKIE)
      fail(Alert.UNSUPPORTED_EXTENSION, `${what} has extension ${type}, which was not offered`);
    if (!allowed.includes(type))
      fail(Alert.ILLEGAL_PARAMETER, `extension ${type} does not belong in ${what}`);
  }
}

/** The host name of server_name (RFC 6066 §3). */
export function readServerName(body: Uint8Array): string {
  const read = parseServerName(body);
  if ('name' in read) return read.name;
  return fail(read.syntax ? Alert.DECODE_ERROR : Alert.ILLEGAL_PARAMETER, read.fault);
}

export function writeServerName(writer: Writer, name: string): void {
  extension(writer, ExtensionType.SERVER_NAME, (w) =>
    vector(w, 2, (list) => {
      list.u8(HOST_NAME);
      vector(list, 2, (host) => host.utf8(name));
    }),
  );
}

/** Protocol names of an ALPN extension (RFC 7301 §3.1). */
export function readAlpn(body: Uint8Array): string[] {
  const reader = new Reader(body);
  const list = readVector16(reader);
  expectEnd(reader, 'ALPN');
  const names: string[] = [];
  while (!list.done) {
    const name = readVector8(list).rest();
    if (name.length === 0) fail(Alert.DECODE_ERROR, 'ALPN has an empty name');
    // Names are octets (GREASE makes some that are no UTF-8); one character per octet keeps them apart.
    names.push(String.fromCharCode(...name));
  }
  if (names.length === 0) fail(Alert.DECODE_ERROR, 'ALPN names no protocol');
  return names;
}

export function writeAlpn(writer: Writer, names: readonly string[]): void {
  extension(writer, ExtensionType.ALPN, (w) =>
    vector(w, 2, (list) => {
      for (const name of names) vector(list, 1, (entry) => entry.utf8(name));
    }),
  );
}

export function readKeyShareEntry(reader: Reader): KeyShareEntry {
  const group = reader.u16();
  const key = readVector16(reader).rest();
  if (key.length === 0) fail(Alert.DECODE_ERROR, 'a key share is empty');
  return { group, key };
}

/** The key shares of a ClientHello (RFC 8446 §4.2.8); may be empty to ask for a HelloRetryRequest. */
export function readKeyShares(reader: Reader): KeyShareEntry[] {
  const list = readVector16(reader);
  expectEnd(reader, 'key_share');
  const shares: KeyShareEntry[] = [];
  while (!list.done) shares.push(readKeyShareEntry(list));
  return shares;
}

export function writeKeyShare(writer: Writer, entry: { group: number; publicKey: Uint8Array }): void {
  writer.u16(entry.group);
  vector(writer, 2, (key) => key.bytes(entry.publicKey));
}

/** A list of 16-bit codes behind a two-octet length: groups, signature schemes. */
export function readCodeList(reader: Reader, what: string): number[] {
  const list = readVector16(reader);
  expectEnd(reader, what);
  return readCodes(list, what);
}

export function writeCodeList(writer: Writer, type: number, codes: readonly number[]): void {
  extension(writer, type, (w) =>
    vector(w, 2, (list) => {
      for (const code of codes) list.u16(code);
    }),
  );
}
