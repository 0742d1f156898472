import { createRequire } from 'node:module';

/** What is used of koffi, which may be absent. */
interface Koffi {
  load(library: null): { func(prototype: string): (...values: unknown[]) => number };
}

const AF_INET = 2;
const AF_INET6 = 10;
const IPV4_ADDRESS_OCTETS = 16;
const IPV6_ADDRESS_OCTETS = 28;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2_000_000;

/** A `struct sockaddr_in` or `sockaddr_in6`, the family in the order of the machine and the port in that of the network. */
function socketAddress(host: HeldHost, port: number): Uint8Array {
  const isIpv6 = host === '::1';
  const address = new Uint8Array(isIpv6 ? IPV6_ADDRESS_OCTETS : IPV4_ADDRESS_OCTETS);
  new Uint16Array(address.buffer, 0, 1)[0] = isIpv6 ? AF_INET6 : AF_INET;
  new DataView(address.buffer).setUint16(2, port);
  // ::1 behind port and flow label; 0.0.0.0 is all zeros.
  if (isIpv6) address[23] = 1;
  return address;
}

/** Where a socket may be held: all IPv4 addresses, or the loopback address of IPv6. */
export type HeldHost = '0.0.0.0' | '::1';

/**
 * Opens a UDP socket and returns its descriptor. Nothing reads from it here: it is for a process that
 * may die and be started again: packets wait meanwhile, and callers see no ICMP "port unreachable", which ends
 * a session in Chromium. Node's own sockets read as soon as they are bound, so this is libc's, on Linux only. `undefined`
 * where it cannot be had, also for a port in use: the process that wants it then opens it and says why.
 */
export function holdUdpSocket(port: number, host: HeldHost = '0.0.0.0'): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const libc = (createRequire(import.meta.url)('koffi') as Koffi).load(null);
    const socket = libc.func('int socket(int family, int type, int protocol)');
    const bind = libc.func('int bind(int, void *address, uint length)');
    const close = libc.func('int close(int)');
    const descriptor = socket(host === '::1' ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return undefined;
    const address = socketAddress(host, port);
    if (bind(descriptor, address, address.length) === 0) return descriptor;
    close(descriptor);
  } catch {
    // No koffi for this machine.
  }
  return undefined;
}
