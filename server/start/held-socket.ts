import { createRequire } from 'node:module';

/** What is used of koffi, which may be absent. */
interface Koffi {
  load(library: null): { func(prototype: string): (...values: unknown[]) => number };
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2_000_000;

/**
 * Opens a UDP socket on all IPv4 addresses and returns its descriptor. Nothing reads from it here: it is for a process that
 * may die and be started again: packets wait meanwhile, and callers see no ICMP "port unreachable", which ends
 * a session in Chromium. Node's own sockets read as soon as they are bound, so this is libc's, on Linux only. `undefined`
 * where it cannot be had, also for a port in use: the process that wants it then opens it and says why.
 */
export function holdUdpSocket(port: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const libc = (createRequire(import.meta.url)('koffi') as Koffi).load(null);
    const socket = libc.func('int socket(int family, int type, int protocol)');
    const bind = libc.func('int bind(int, void *address, uint length)');
    const close = libc.func('int close(int)');
    const descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return undefined;
    const address = new Uint8Array(16);
    new Uint16Array(address.buffer)[0] = AF_INET;
    new DataView(address.buffer).setUint16(2, port);
    if (bind(descriptor, address, address.length) === 0) return descriptor;
    close(descriptor);
  } catch {
    // No koffi for this machine.
  }
  return undefined;
}
