import { formatIp, IP_OCTETS, isIpv4Mapped, parseIp } from '../wire/index.ts';

/**
 * The PROXY protocol, version 2 (haproxy.org, doc/proxy-protocol.txt §2.2): what a forwarder puts before the octets of a TCP
 * connection, so that the backend knows whose they are.
 */

/** How every header begins: no TLS record and no HTTP request does. */
const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
/** Signature, version and command, family and protocol, length. */
const FIXED_OCTETS = 16;
/** Octets of the longest header that is taken. The specification has senders keep below this, TLVs included. */
export const MAX_PROXY_HEADER_OCTETS = 536;

const VERSION = 0x20;
const COMMAND_LOCAL = 0x0;
const COMMAND_PROXY = 0x1;
const FAMILY_TCP4 = 0x11;
const FAMILY_TCP6 = 0x21;
const IPV4_OCTETS = 4;
const PORT_OCTETS = 2;
const MAX_PORT = 0xffff;

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Whose connection it is, and the address that the client called. */
export interface ProxyHeader {
  readonly client: Endpoint;
  readonly called: Endpoint;
}

/** Why octets are no header that is taken here. */
export type ProxyFault =
  /** They do not begin with the signature. */
  | 'signature'
  /** Another version, or a command that the specification does not know. */
  | 'version'
  /** Not TCP over IPv4 or IPv6. */
  | 'family'
  /** Longer than is taken, or too short for its addresses. */
  | 'length';

export type ProxyResult =
  /** Valid so far, and not all there. */
  | { readonly state: 'incomplete' }
  | { readonly state: 'fault'; readonly fault: ProxyFault }
  /** `octets` is its length; what follows is the client's. No header: the proxy speaks for itself (LOCAL). */
  | { readonly state: 'complete'; readonly octets: number; readonly header: ProxyHeader | undefined };

const INCOMPLETE: ProxyResult = Object.freeze({ state: 'incomplete' });

const fault = (why: ProxyFault): ProxyResult => ({ state: 'fault', fault: why });

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 0 && port <= MAX_PORT;
}

/** Writes the header of a TCP connection. `undefined` when an address is no IP address or a port no port. */
export function encodeProxyHeader({ client, called }: ProxyHeader): Uint8Array | undefined {
  const from = parseIp(client.host);
  const to = parseIp(called.host);
  if (from === undefined || to === undefined || !isPort(client.port) || !isPort(called.port))
    return undefined;
  // A header has one family: when the two differ, IPv4 is written in its mapped form.
  const isIpv4 = isIpv4Mapped(from) && isIpv4Mapped(to);
  const address = isIpv4 ? IPV4_OCTETS : IP_OCTETS;
  const out = new Uint8Array(FIXED_OCTETS + 2 * (address + PORT_OCTETS));
  out.set(SIGNATURE);
  out[12] = VERSION | COMMAND_PROXY;
  out[13] = isIpv4 ? FAMILY_TCP4 : FAMILY_TCP6;
  const view = new DataView(out.buffer);
  view.setUint16(14, out.length - FIXED_OCTETS);
  out.set(from.subarray(IP_OCTETS - address), FIXED_OCTETS);
  out.set(to.subarray(IP_OCTETS - address), FIXED_OCTETS + address);
  view.setUint16(FIXED_OCTETS + 2 * address, client.port);
  view.setUint16(FIXED_OCTETS + 2 * address + PORT_OCTETS, called.port);
  return out;
}

function readAddresses(data: Uint8Array, address: number): ProxyHeader {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const host = (at: number): string => {
    const octets = new Uint8Array(IP_OCTETS);
    if (address === IPV4_OCTETS) octets.fill(0xff, 10, 12);
    octets.set(data.subarray(at, at + address), IP_OCTETS - address);
    return formatIp(octets);
  };
  const ports = FIXED_OCTETS + 2 * address;
  return {
    client: { host: host(FIXED_OCTETS), port: view.getUint16(ports) },
    called: { host: host(FIXED_OCTETS + address), port: view.getUint16(ports + PORT_OCTETS) },
  };
}

/**
 * Reads the header at the start of `data`, all octets of the connection so far. Never throws, and says that octets are no header as
 * soon as one of them shows it. TLVs behind the addresses are skipped.
 */
export function decodeProxyHeader(data: Uint8Array): ProxyResult {
  for (let i = 0; i < SIGNATURE.length && i < data.length; i++)
    if (data[i] !== SIGNATURE[i]) return fault('signature');
  const [versionAndCommand, family] = [data[12], data[13]];
  if (versionAndCommand === undefined) return INCOMPLETE;
  const command = versionAndCommand & 0x0f;
  if ((versionAndCommand & 0xf0) !== VERSION || command > COMMAND_PROXY) return fault('version');
  if (family === undefined) return INCOMPLETE;
  if (command === COMMAND_PROXY && family !== FAMILY_TCP4 && family !== FAMILY_TCP6) return fault('family');
  if (data.length < FIXED_OCTETS) return INCOMPLETE;
  const octets = FIXED_OCTETS + (((data[14] as number) << 8) | (data[15] as number));
  const address = family === FAMILY_TCP4 ? IPV4_OCTETS : IP_OCTETS;
  const least = command === COMMAND_LOCAL ? FIXED_OCTETS : FIXED_OCTETS + 2 * (address + PORT_OCTETS);
  if (octets < least || octets > MAX_PROXY_HEADER_OCTETS) return fault('length');
  if (data.length < octets) return INCOMPLETE;
  return {
    state: 'complete',
    octets,
    header: command === COMMAND_LOCAL ? undefined : readAddresses(data, address),
  };
}
