import { parseServerName } from './server-name.ts';

const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const MESSAGE_HEADER_LENGTH = 4;
const VERSION_LENGTH = 2;
const RANDOM_LENGTH = 32;
const EXTENSION_HEADER_LENGTH = 4;

/** Which octets of a handshake stream are here already. */
export interface PartialOctets {
  readonly data: Uint8Array;
  /** Whether every octet of [start, end) is here. */
  has(start: number, end: number): boolean;
}

/** What the octets that are here say of the server_name of a ClientHello. */
export type PeekedName =
  | { readonly complete: false }
  /** `serverName` is undefined when it has none, or is malformed: the handshake will tell which. */
  | { readonly complete: true; readonly serverName: string | undefined };

const INCOMPLETE: PeekedName = { complete: false };
const NONE: PeekedName = { complete: true, serverName: undefined };

/**
 * Reads the server_name (RFC 6066 §3) of a ClientHello of which parts may be missing, with as little of it as can be: the lengths
 * before it, and the extension itself. Never throws: what is malformed has no name here.
 */
export function peekServerName(octets: PartialOctets): PeekedName {
  if (!octets.has(0, MESSAGE_HEADER_LENGTH)) return INCOMPLETE;
  const { data } = octets;
  if (data[0] !== CLIENT_HELLO) return NONE;
  const end = MESSAGE_HEADER_LENGTH + ((data[1]! << 16) | u16(data, 2));
  const extensions = extensionsAt(octets, end);
  return typeof extensions === 'number' ? findServerName(octets, extensions, end) : extensions;
}

function u16(data: Uint8Array, at: number): number {
  return (data[at]! << 8) | data[at + 1]!;
}

/** Where the first extension begins (RFC 8446 §4.1.2), or the outcome when that is not known, or there is none. */
function extensionsAt(octets: PartialOctets, end: number): number | PeekedName {
  const { data } = octets;
  // legacy_session_id, cipher_suites, legacy_compression_methods: each behind its length.
  let at = MESSAGE_HEADER_LENGTH + VERSION_LENGTH + RANDOM_LENGTH;
  for (const lengthOctets of [1, 2, 1]) {
    if (at + lengthOctets > end) return NONE;
    if (!octets.has(at, at + lengthOctets)) return INCOMPLETE;
    at += lengthOctets + (lengthOctets === 1 ? data[at]! : u16(data, at));
  }
  if (at + 2 > end) return NONE;
  if (!octets.has(at, at + 2)) return INCOMPLETE;
  return at + 2 + u16(data, at) === end ? at + 2 : NONE;
}

function findServerName(octets: PartialOctets, first: number, end: number): PeekedName {
  const { data } = octets;
  for (let at = first; at + EXTENSION_HEADER_LENGTH <= end; ) {
    const body = at + EXTENSION_HEADER_LENGTH;
    if (!octets.has(at, body)) return INCOMPLETE;
    const next = body + u16(data, at + 2);
    if (next > end) return NONE;
    if (u16(data, at) === SERVER_NAME) {
      return octets.has(body, next) ? readName(data.subarray(body, next)) : INCOMPLETE;
    }
    at = next;
  }
  return NONE;
}

function readName(body: Uint8Array): PeekedName {
  const read = parseServerName(body);
  return 'name' in read ? { complete: true, serverName: read.name } : NONE;
}
