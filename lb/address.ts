import { formatIp, parseAddress, parseIp } from '../proto/wire/index.ts';

/** An IP address as text and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export function isIpv6(host: string): boolean {
  return host.includes(':');
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress({ host, port }: Address): string {
  return isIpv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The one spelling of an IP address: RFC 5952, and a dotted quad for IPv4 however it came. */
export function canonicalHost(host: string): string {
  const octets = parseIp(host);
  return octets === undefined ? host : formatIp(octets);
}

export { parseAddress };
