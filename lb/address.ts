import { formatIp, IP_OCTETS, parseAddress, parseIp } from '../proto/wire/index.ts';

/** An IP address as text and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An address that packets are sent to or from by the hundred thousand: as text, and as the 16 octets that SPP has. */
export interface Endpoint extends Address {
  readonly octets: Uint8Array;
}

export function isIpv6(host: string): boolean {
  return host.includes(':');
}

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress({ host, port }: Address): string {
  return isIpv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `host` in its one spelling: RFC 5952, and a dotted quad for IPv4 however it came. What is no address is 16 zeros. */
export function toEndpoint(host: string, port: number): Endpoint {
  const octets = parseIp(host);
  if (octets === undefined) return Object.freeze({ host, port, octets: new Uint8Array(IP_OCTETS) });
  return Object.freeze({ host: formatIp(octets), port, octets });
}

/** Whether the address at `hosts[at]` is that of `octets`. */
export function isHost(octets: Uint8Array, hosts: Uint8Array, at: number): boolean {
  // From the end: that is where addresses differ.
  for (let i = IP_OCTETS - 1; i >= 0; i--) if (octets[i] !== hosts[at + i]) return false;
  return true;
}

export { parseAddress };
