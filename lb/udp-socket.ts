import { createSocket, type Socket } from 'node:dgram';
import { type Address, canonicalHost, formatAddress, isIpv6 } from './address.ts';
import { StartupError } from './errors.ts';

/** Kernel buffers: about 50 ms of a forwarder's traffic at full load. The kernel cuts it to its own limit. */
const SOCKET_BUFFER_OCTETS = 8 * 1024 * 1024;

/** A UDP socket as the forwarder uses it; `dgram` today, batches of system calls behind the same face later. */
export interface UdpSocket {
  /** Where it is bound. */
  readonly local: Address;
  /** Whether it can send to this address. */
  reaches(host: string): boolean;
  /** Sends one datagram, or counts a send error. `data` belongs to the socket from then on. */
  send(data: Uint8Array, host: string, port: number): void;
  close(): Promise<void>;
}

export interface UdpSocketOptions {
  readonly address: Address;
  /** Do not take IPv4 packets on an IPv6 wildcard, since another socket does. */
  readonly ipv6Only: boolean;
  /** One received datagram. `host` is in its one spelling, IPv4 as a dotted quad. */
  readonly onMessage: (data: Uint8Array, from: Address) => void;
  readonly onSendError: (error: Error) => void;
}

const MAPPED_PREFIX = '::ffff:';

class DgramSocket implements UdpSocket {
  readonly local: Address;
  readonly #socket: Socket;
  readonly #ipv6: boolean;
  readonly #ipv6Only: boolean;
  readonly #onSent: (error: Error | null) => void;

  constructor(socket: Socket, options: UdpSocketOptions) {
    const { address, port } = socket.address();
    this.local = Object.freeze({ host: canonicalHost(address), port });
    this.#socket = socket;
    this.#ipv6 = isIpv6(options.address.host);
    // Only the wildcard is dual-stack.
    this.#ipv6Only = options.ipv6Only || canonicalHost(address) !== '::';
    this.#onSent = (error) => {
      if (error !== null) options.onSendError(error);
    };
    const { onMessage } = options;
    socket.on('error', options.onSendError);
    socket.on('message', (data, from) => {
      const host = from.address;
      onMessage(
        data,
        this.#ipv6 ? { host: canonicalHost(host), port: from.port } : { host, port: from.port },
      );
    });
  }

  reaches(host: string): boolean {
    if (isIpv6(host)) return this.#ipv6;
    return !this.#ipv6 || !this.#ipv6Only;
  }

  send(data: Uint8Array, host: string, port: number): void {
    const target = this.#ipv6 && !isIpv6(host) ? MAPPED_PREFIX + host : host;
    try {
      this.#socket.send(data, port, target, this.#onSent);
    } catch (error) {
      // dgram throws for a port of 0 or a closed socket: a packet is lost, the process is not.
      this.#onSent(error as Error);
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

function explain(error: NodeJS.ErrnoException, address: Address): StartupError {
  const where = `udp ${formatAddress(address)}`;
  if (error.code === 'EADDRINUSE') {
    return new StartupError(
      `${where} is in use by another process; stop it or choose another with --listen.`,
    );
  }
  if (error.code === 'EACCES') {
    return new StartupError(
      `${where} may not be opened by this user; choose a port above 1023 with --listen.`,
    );
  }
  if (error.code === 'EADDRNOTAVAIL') {
    return new StartupError(`${where} is not an address of this machine; choose another with --listen.`);
  }
  return new StartupError(`${where} cannot be opened: ${error.message}.`);
}

/** Opens a socket. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openUdpSocket(options: UdpSocketOptions): Promise<UdpSocket> {
  const { address, ipv6Only } = options;
  const family = isIpv6(address.host) ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    ipv6Only,
    // Addresses are never names here: skip the resolver, which costs a turn of the event loop for every packet.
    lookup: (host, _options, callback) => callback(null, host, family),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(explain(error, address)));
    socket.bind({ address: address.host, port: address.port }, resolve);
  });
  socket.removeAllListeners('error');
  for (const set of [
    () => socket.setRecvBufferSize(SOCKET_BUFFER_OCTETS),
    () => socket.setSendBufferSize(SOCKET_BUFFER_OCTETS),
  ]) {
    try {
      set();
    } catch {
      // Some systems refuse instead of cutting: what they have must do.
    }
  }
  return new DgramSocket(socket, options);
}
