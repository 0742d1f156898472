import { type Address, type Endpoint, formatAddress } from './address.ts';
import { StartupError } from './errors.ts';
import type { PacketBatch } from './packet-batch.ts';

/** Why the kernel sent a datagram nowhere. */
export const SEND_FAILURES = ['full', 'tooLarge', 'unreachable', 'other'] as const;
export type SendFailure = (typeof SEND_FAILURES)[number];

const FAILURES: Readonly<Record<string, SendFailure>> = {
  EAGAIN: 'full',
  ENOBUFS: 'full',
  ENOMEM: 'full',
  EMSGSIZE: 'tooLarge',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  ECONNREFUSED: 'unreachable',
  EAFNOSUPPORT: 'unreachable',
  EINVAL: 'unreachable',
  EPERM: 'unreachable',
  EACCES: 'unreachable',
};

export function sendFailure(code: string | undefined): SendFailure {
  return FAILURES[code ?? ''] ?? 'other';
}

/** A UDP socket as the forwarder uses it. Two are built: batches of system calls on Linux, and Node's `dgram` anywhere. */
export interface UdpSocket {
  /** Where it is bound. */
  readonly local: Endpoint;
  /** Whether it can send to the address of 16 octets at `hosts[at]`. */
  reaches(hosts: Uint8Array, at: number): boolean;
  /**
   * Sends the datagram `data[from..to)` to the address at `hosts[at]` and a port, at the next `flush` at the latest;
   * until then it must stay as it is. A failure is told to `onSendFailure`, never thrown.
   */
  send(data: Uint8Array, from: number, to: number, hosts: Uint8Array, at: number, port: number): void;
  flush(): void;
  /** Datagrams that the kernel threw away since its receive buffer was full; `undefined` where that cannot be asked. */
  kernelDrops(): number | undefined;
  close(): Promise<void>;
}

export interface UdpSocketOptions {
  readonly address: Address;
  /** Do not take IPv4 packets on an IPv6 wildcard, since another socket does. */
  readonly ipv6Only: boolean;
  /** A socket that is bound to `address` already, to be used in place of one of our own. */
  readonly descriptor?: number | undefined;
  /** What came, never an empty batch. It must not throw. */
  readonly onBatch: (batch: PacketBatch, socket: UdpSocket) => void;
  /** A datagram of more than `MAX_DATAGRAM_OCTETS` came and was dropped. */
  readonly onOversize: () => void;
  readonly onSendFailure: (failure: SendFailure, datagrams: number) => void;
}

/** Kernel buffers: about 50 ms of a forwarder's traffic at full load. The kernel cuts it to its own limit. */
export const SOCKET_BUFFER_OCTETS = 8 * 1024 * 1024;

/** Throws `StartupError` when a socket that was handed over is bound elsewhere than `address`. */
export function checkInherited({ descriptor, address }: UdpSocketOptions, bound: Address): void {
  if (descriptor === undefined) return;
  if (bound.host === address.host && (bound.port === address.port || address.port === 0)) return;
  throw new StartupError(
    `The socket that was handed over (LISTEN_FDS) for udp ${formatAddress(address)} is bound to ${formatAddress(bound)}; let both name the same.`,
  );
}

/** The sentence for an address that cannot be bound, by the code of the system's error. */
export function explainBindError(
  address: Address,
  code: string | undefined,
  message = `${code}`,
): StartupError {
  const where = `udp ${formatAddress(address)}`;
  if (code === 'EADDRINUSE') {
    return new StartupError(
      `${where} is in use by another process; stop it or choose another with --listen.`,
    );
  }
  if (code === 'ERR_INVALID_FD_TYPE') {
    return new StartupError(`What was handed over (LISTEN_FDS) for ${where} is no UDP socket.`);
  }
  if (code === 'EACCES') {
    return new StartupError(
      `${where} may not be opened by this user; choose a port above 1023 with --listen.`,
    );
  }
  if (code === 'EADDRNOTAVAIL') {
    return new StartupError(`${where} is not an address of this machine; choose another with --listen.`);
  }
  return new StartupError(`${where} cannot be opened: ${message}.`);
}
