import { type BindOptions, createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { formatIp, isIpv4Mapped, parseIpInto } from '../../../proto/wire/index.ts';
import { type Endpoint, isIpv6, toEndpoint } from '../address.ts';
import { HEADROOM_OCTETS, MAX_DATAGRAM_OCTETS, PacketBatch } from '../packet-batch.ts';
import {
  checkInherited,
  explainBindError,
  SOCKET_BUFFER_OCTETS,
  sendFailure,
  type UdpSocket,
  type UdpSocketOptions,
} from '../udp-socket.ts';

const MAPPED_PREFIX = '::ffff:';
/** Octets that wait in Node for the kernel's queue, beyond which no more are taken. */
const MAX_WAITING_OCTETS = 1 << 20;
const NOTHING = new Uint8Array();

/** Node's own socket, which works everywhere: a system call and an event for every datagram, in batches of one. */
export class DgramSocket implements UdpSocket {
  readonly local: Endpoint;
  readonly isBatched = false;
  readonly #socket: Socket;
  readonly #options: UdpSocketOptions;
  readonly #ipv6: boolean;
  readonly #ipv6Only: boolean;
  readonly #batch = new PacketBatch(NOTHING, 1);
  #closed = false;

  constructor(socket: Socket, options: UdpSocketOptions) {
    const { address, port } = socket.address();
    this.local = toEndpoint(address, port);
    this.#batch.fillLocals(this.local.octets);
    this.#socket = socket;
    this.#options = options;
    this.#ipv6 = isIpv6(options.address.host);
    // Only the wildcard is dual-stack.
    this.#ipv6Only = options.ipv6Only || this.local.host !== '::';
    socket.on('error', this.#onSent);
    socket.on('message', (data, from) => this.#receive(data, from.address, from.port));
  }

  reaches(hosts: Uint8Array, at: number): boolean {
    return isIpv4Mapped(hosts, at) ? !this.#ipv6 || !this.#ipv6Only : this.#ipv6;
  }

  send(data: Uint8Array, from: number, to: number, hosts: Uint8Array, at: number, port: number): void {
    if (this.isFull) {
      this.#options.onSendFailure('full', 1);
      return;
    }
    const host = formatIp(hosts, at);
    const target = this.#ipv6 && !isIpv6(host) ? MAPPED_PREFIX + host : host;
    try {
      this.#socket.send(data.subarray(from, to), port, target, this.#onSent);
    } catch (error) {
      // dgram throws for a port of 0 or a closed socket: a packet is lost, the process is not.
      this.#onSent(error as Error);
    }
  }

  flush(): void {}

  get isFull(): boolean {
    return !this.#closed && this.#socket.getSendQueueSize() >= MAX_WAITING_OCTETS;
  }

  kernelDrops(): undefined {
    return undefined;
  }

  close(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  readonly #onSent = (error: Error | null): void => {
    if (error !== null) this.#options.onSendFailure(sendFailure((error as NodeJS.ErrnoException).code), 1);
  };

  #receive(data: Uint8Array, host: string, port: number): void {
    if (data.length > MAX_DATAGRAM_OCTETS) {
      this.#options.onOversize();
      return;
    }
    const batch = this.#batch;
    // Memory of its own for each datagram: dgram may still be sending from the last one's.
    batch.data = new Uint8Array(HEADROOM_OCTETS + data.length);
    batch.data.set(data, HEADROOM_OCTETS);
    batch.starts[0] = HEADROOM_OCTETS;
    batch.ends[0] = batch.data.length;
    if (!parseIpInto(host, batch.hosts)) return;
    batch.ports[0] = port;
    batch.count = 1;
    this.#options.onBatch(batch, this);
  }
}

/**
 * Binds one of Node's sockets. Rejects with `StartupError`, one sentence, when that fails. `isShared`: another socket of this
 * process may be bound to the same port, to a narrower or a wider address.
 */
export async function bindDgram(options: UdpSocketOptions, isShared: boolean): Promise<DgramSocket> {
  const { address, ipv6Only, descriptor } = options;
  const family = isIpv6(address.host) ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    // libuv refuses it for IPv4.
    ipv6Only: ipv6Only && family === 6,
    reuseAddr: isShared,
    // Addresses are never names here: skip the resolver, which costs a turn of the event loop for every packet.
    lookup: (host, _options, callback) => callback(null, host, family),
  });
  await bind(
    socket,
    descriptor === undefined ? { address: address.host, port: address.port } : { fd: descriptor },
    options,
  );
  setBuffers(socket);
  return new DgramSocket(socket, options);
}

async function bind(socket: Socket, where: BindOptions, options: UdpSocketOptions): Promise<void> {
  try {
    const bound = once(socket, 'listening');
    socket.bind(where);
    await bound;
    const { address: host, port } = socket.address();
    checkInherited(options, { host, port });
  } catch (error) {
    socket.close();
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : explainBindError(options, code, message);
  }
}

function setBuffers(socket: Socket): void {
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
}
