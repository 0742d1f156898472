import { formatAddress } from '../../proto/wire/index.ts';
import { StartupError } from '../startup.ts';
import { type Address, type Endpoint, toEndpoint } from './address.ts';
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
  EADDRNOTAVAIL: 'unreachable',
  ENODEV: 'unreachable',
  EINVAL: 'unreachable',
  EPERM: 'unreachable',
  EACCES: 'unreachable',
};

export function sendFailure(code: string | undefined): SendFailure {
  return FAILURES[code ?? ''] ?? 'other';
}

/**
 * A UDP socket as forwarders and backends use it. Two are built: batches of system calls on Linux, and Node's `dgram`
 * anywhere. On a wildcard address each datagram says which address of this machine it came to, and an answer can leave from there.
 */
export interface UdpSocket {
  /** Where it is bound. */
  readonly local: Endpoint;
  /** Whether datagrams leave at `flush`, so that memory may be used again after it, and not before. */
  readonly isBatched: boolean;
  /** Whether it can send to the address of 16 octets at `hosts[at]`. */
  reaches(hosts: Uint8Array, at: number): boolean;
  /**
   * Sends the datagram `data[from..to)` to the address at `hosts[at]` and a port, at the next `flush` at the latest;
   * until then it must stay as it is, with `dgram` for good. It leaves from the address of this machine at `sources[sourceAt]`;
   * from the one that the kernel's routes say when that is unspecified or absent. A failure is told to `onSendFailure`, never thrown.
   */
  send(
    data: Uint8Array,
    from: number,
    to: number,
    hosts: Uint8Array,
    at: number,
    port: number,
    sources?: Uint8Array,
    sourceAt?: number,
  ): void;
  flush(): void;
  /**
   * The kernel took no more: what it left waits here, bounded, for the next `flush`, and what is sent before that succeeds is
   * dropped and told as `full`. Only where `keepsUnsent` was asked for, and with `dgram`.
   */
  readonly isFull: boolean;
  /** Datagrams that the kernel threw away since its receive buffer was full; `undefined` where that cannot be asked. */
  kernelDrops(): number | undefined;
  close(): Promise<void>;
}

export interface UdpSocketOptions {
  readonly address: Address;
  /** Do not take IPv4 packets on an IPv6 wildcard, since another socket does. */
  readonly ipv6Only: boolean;
  /** What set `address`, for sentences such as "choose another with --listen". */
  readonly setting: string;
  /** A socket that is bound to `address` already, to be used in place of one of our own. */
  readonly descriptor?: number | undefined;
  /** Sockets of other processes, of the same user, are bound to `address` too, and the kernel spreads clients over them (SO_REUSEPORT). */
  readonly reusePort?: boolean | undefined;
  /** What came, never an empty batch. It must not throw. */
  readonly onBatch: (batch: PacketBatch, socket: UdpSocket) => void;
  /** All that had come was given to `onBatch`. Only a batched socket can tell. */
  readonly onDrained?: (() => void) | undefined;
  /** A datagram of more than `MAX_DATAGRAM_OCTETS` came and was dropped. */
  readonly onOversize: () => void;
  readonly onSendFailure: (failure: SendFailure, datagrams: number) => void;
  /** Keep what does not fit into the kernel's queue, up to a batch, for a sender that can wait. Otherwise it is dropped, as by a router. */
  readonly keepsUnsent?: boolean;
}

/** Kernel buffers: about 50 ms of a forwarder's traffic at full load. The kernel cuts it to its own limit. */
export const SOCKET_BUFFER_OCTETS = 8 * 1024 * 1024;

/** Throws `StartupError` when a socket that was handed over is bound elsewhere than `address`. */
export function checkInherited({ descriptor, address }: UdpSocketOptions, bound: Address): void {
  if (descriptor === undefined) return;
  const isSameHost = toEndpoint(bound.host, 0).host === toEndpoint(address.host, 0).host;
  if (isSameHost && (bound.port === address.port || address.port === 0)) return;
  throw new StartupError(
    `The socket that was handed over (LISTEN_FDS) for udp ${formatAddress(address)} is bound to ${formatAddress(bound)}; let both name the same.`,
  );
}

/** The sentence for an address that cannot be bound, by the code of the system's error. */
export function explainBindError(
  { address, setting }: Pick<UdpSocketOptions, 'address' | 'setting'>,
  code: string | undefined,
  message = `${code}`,
): StartupError {
  const where = `udp ${formatAddress(address)}`;
  if (code === 'EADDRINUSE') {
    return new StartupError(
      `${where} is in use by another process; stop it or choose another with ${setting}.`,
    );
  }
  if (code === 'ERR_INVALID_FD_TYPE') {
    return new StartupError(`What was handed over (LISTEN_FDS) for ${where} is no UDP socket.`);
  }
  if (code === 'EACCES') {
    return new StartupError(
      `${where} may not be opened by this user; choose a port above 1023 with ${setting}.`,
    );
  }
  if (code === 'EADDRNOTAVAIL') {
    return new StartupError(`${where} is not an address of this machine; choose another with ${setting}.`);
  }
  return new StartupError(`${where} cannot be opened: ${message}.`);
}
