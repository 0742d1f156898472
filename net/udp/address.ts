import { formatIp, IP_OCTETS, parseIp } from '../../proto/wire/index.ts';

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

/** Whether the 16 octets at `hosts[at]` are `::` or `0.0.0.0`, which stand for an address that is not known. */
export function isUnspecified(hosts: Uint8Array, at: number): boolean {
  for (let i = IP_OCTETS - 1; i >= 12; i--) if (hosts[at + i] !== 0) return false;
  for (let i = 0; i < 10; i++) if (hosts[at + i] !== 0) return false;
  const prefix = hosts[at + 10] as number;
  return prefix === hosts[at + 11] && (prefix === 0 || prefix === 0xff);
}
