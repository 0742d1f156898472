import { createSocket, type Socket } from 'node:dgram';
import { isIpv4Mapped, parseIpInto } from '../../proto/wire/index.ts';
import { type Address, type Endpoint, isIpv6, toEndpoint } from '../address.ts';
import { bindSocket, setBuffers } from '../dgram-socket.ts';
import { BATCH_PACKETS, HEADROOM_OCTETS, MAX_DATAGRAM_OCTETS, PacketBatch } from '../packet-batch.ts';
import { explainBindError, type UdpSocket, type UdpSocketOptions } from '../udp-socket.ts';
import type { SystemCalls } from './libc.ts';
import { MessageTable, NAME_LENGTH } from './message-table.ts';
import { SendQueue } from './send-queue.ts';

/** Memory of one datagram, by cache lines, and an odd number of them: the first octets of all slots then use all sets of a cache. */
const SLOT_OCTETS = Math.ceil((HEADROOM_OCTETS + MAX_DATAGRAM_OCTETS) / 64 / 2) * 128 + 64;
/** Batches that are read before the event loop has its turn: about a millisecond and a half of packets. */
const MAX_BATCHES = 8;

/**
 * A UDP socket in batches. It belongs to Node's `dgram`, whose event says that packets came and brings the first; the
 * rest are taken from its descriptor by recvmmsg until there are none, 64 at a time, and what became of a batch leaves by
 * sendmmsg before the next is read.
 */
class BatchedSocket implements UdpSocket {
  readonly local: Endpoint;
  readonly #calls: SystemCalls;
  readonly #descriptor: number;
  readonly #socket: Socket;
  readonly #options: UdpSocketOptions;
  readonly #ipv6: boolean;
  readonly #ipv6Only: boolean;
  readonly #batch: PacketBatch;
  readonly #messages: MessageTable;
  readonly #queue: SendQueue;
  #closed = false;

  constructor(calls: SystemCalls, descriptor: number, socket: Socket, options: UdpSocketOptions) {
    const { address, port } = socket.address();
    this.local = toEndpoint(address, port);
    this.#calls = calls;
    this.#descriptor = descriptor;
    this.#socket = socket;
    this.#options = options;
    this.#ipv6 = isIpv6(options.address.host);
    // Only the wildcard is dual-stack.
    this.#ipv6Only = options.ipv6Only || this.local.host !== '::';
    const nameLength = this.#ipv6 ? NAME_LENGTH.ipv6 : NAME_LENGTH.ipv4;
    this.#queue = new SendQueue(calls, descriptor, nameLength, options.onSendFailure);
    const memory = new Uint8Array(new ArrayBuffer(BATCH_PACKETS * SLOT_OCTETS));
    this.#batch = new PacketBatch(memory, BATCH_PACKETS);
    this.#messages = new MessageTable((data) => calls.addressOf(data), BATCH_PACKETS, nameLength);
    const memoryAt = calls.addressOf(memory);
    for (let slot = 0; slot < BATCH_PACKETS; slot++) {
      this.#messages.aim(slot, memoryAt + slot * SLOT_OCTETS + HEADROOM_OCTETS, MAX_DATAGRAM_OCTETS);
      // The IPv4-mapped prefix stays; an IPv4 socket writes only what follows.
      parseIpInto('0.0.0.0', this.#batch.hosts, slot * 16);
    }
    socket.on('error', () => options.onSendFailure('other', 1));
    socket.on('message', (data, from) => this.#drain(data, from.address, from.port));
  }

  reaches(hosts: Uint8Array, at: number): boolean {
    return isIpv4Mapped(hosts, at) ? !this.#ipv6 || !this.#ipv6Only : this.#ipv6;
  }

  send(data: Uint8Array, from: number, to: number, hosts: Uint8Array, at: number, port: number): void {
    // The number of a closed descriptor may by now be that of another socket.
    if (this.#closed) this.#options.onSendFailure('other', 1);
    else this.#queue.add(data, from, to, hosts, at, port);
  }

  flush(): void {
    if (!this.#closed) this.#queue.flush();
  }

  kernelDrops(): number | undefined {
    return this.#closed ? undefined : this.#calls.drops(this.#descriptor);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#queue.clear();
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  /** What dgram read first, and all that waits behind it. */
  #drain(first: Uint8Array, host: string, port: number): void {
    let used = this.#takeFirst(first, host, port);
    for (let batches = 0; batches < MAX_BATCHES && !this.#closed; batches++) {
      const room = BATCH_PACKETS - used;
      const received = this.#calls.receive(this.#descriptor, this.#messages.addressOf(used), room);
      this.#batch.count = this.#take(used, received);
      if (this.#batch.count > 0) this.#options.onBatch(this.#batch, this);
      // Fewer than there was room for: nothing waits any more. An error is none of a packet's; dgram reports what lasts.
      if (received < room) return;
      used = 0;
    }
  }

  #takeFirst(data: Uint8Array, host: string, port: number): number {
    const batch = this.#batch;
    if (data.length > MAX_DATAGRAM_OCTETS) {
      this.#options.onOversize();
      return 0;
    }
    if (!parseIpInto(host, batch.hosts, 0)) return 0;
    batch.ports[0] = port;
    batch.data.set(data, HEADROOM_OCTETS);
    batch.starts[0] = HEADROOM_OCTETS;
    batch.ends[0] = HEADROOM_OCTETS + data.length;
    return 1;
  }

  /** Enters what recvmmsg put into the slots from `used` on. Returns how many packets the batch has. */
  #take(used: number, received: number): number {
    const batch = this.#batch;
    const messages = this.#messages;
    let count = used;
    for (let slot = used; slot < used + received; slot++) {
      if (messages.isTruncated(slot)) {
        this.#options.onOversize();
        continue;
      }
      const start = slot * SLOT_OCTETS + HEADROOM_OCTETS;
      batch.starts[count] = start;
      batch.ends[count] = start + messages.length(slot);
      batch.ports[count] = messages.readName(slot, batch.hosts, count * 16);
      count++;
    }
    return count;
  }
}

function open(calls: SystemCalls, address: Address, ipv6Only: boolean): number {
  try {
    return calls.open(address, ipv6Only);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw explainBindError(address, code, message);
  }
}

/** Opens a socket. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openBatchedSocket(calls: SystemCalls, options: UdpSocketOptions): Promise<UdpSocket> {
  const { address, ipv6Only } = options;
  const descriptor = options.descriptor ?? open(calls, address, ipv6Only);
  const socket = createSocket(isIpv6(address.host) ? 'udp6' : 'udp4');
  try {
    await bindSocket(socket, { fd: descriptor }, options);
  } catch (error) {
    if (options.descriptor === undefined) calls.close(descriptor);
    throw error;
  }
  setBuffers(socket);
  return new BatchedSocket(calls, descriptor, socket, options);
}
