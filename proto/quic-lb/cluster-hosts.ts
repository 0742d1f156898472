import { IP_OCTETS, parseAddress, parseIp } from '../wire/index.ts';

/** Names as DNS has them (RFC 1123 §2.1), a dot at the end allowed; at least one label that is no number. */
const HOST_NAME =
  /^(?=.{1,253}$)(?!(.*\.)?\d+\.?$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i;

/** Whether `text` is a host name, and no IP address. */
export function isHostName(text: string): boolean {
  return HOST_NAME.test(text) && parseIp(text) === undefined;
}

export function isIpAddress(text: string): boolean {
  return parseIp(text) !== undefined;
}

/** A host and a port as a cluster file has them; the host may be a name. */
export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** An IP address or a host name with a port; `undefined` for anything else. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  const [, host, digits] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (host === undefined || !isHostName(host) || port < 1 || port > 65_535) return undefined;
  return { host: host.toLowerCase(), port };
}

/** A range of addresses: those whose first `bits` are the prefix's. IPv4 counts within `::ffff:0:0/96`. */
export interface Network {
  readonly octets: Uint8Array;
  readonly bits: number;
}

/** A range such as `10.0.0.0/24` or `2001:db8::/32`, without bits behind its prefix; `undefined` for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const [, host, digits] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const octets = host === undefined ? undefined : parseIp(host);
  if (octets === undefined || digits === undefined) return undefined;
  const isIpv4 = !(host as string).includes(':');
  const bits = Number(digits) + (isIpv4 ? 96 : 0);
  if (bits > IP_OCTETS * 8) return undefined;
  for (let bit = bits; bit < IP_OCTETS * 8; bit++) {
    if ((((octets[bit >> 3] as number) >> (7 - (bit & 7))) & 1) === 1) return undefined;
  }
  return { octets, bits };
}

/** Whether the address of 16 octets lies in a range. */
export function isInNetwork(address: Uint8Array, { octets, bits }: Network): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== octets[i]) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  return ((address[whole] as number) ^ (octets[whole] as number)) >> (8 - rest) === 0;
}
