import { isIpv4Mapped, parseIpInto } from '../../../proto/wire/index.ts';
import { type Address, type Endpoint, isIpv6, isUnspecified, toEndpoint } from '../address.ts';
import { BATCH_PACKETS, HEADROOM_OCTETS, MAX_DATAGRAM_OCTETS, PacketBatch } from '../packet-batch.ts';
import { checkInherited, explainBindError, type UdpSocket, type UdpSocketOptions } from '../udp-socket.ts';
import type { SystemCalls, Watch } from './libc.ts';
import { MessageTable, NAME_LENGTH } from './message-table.ts';
import { SendQueue } from './send-queue.ts';

/** Memory of one datagram, by cache lines, and an odd number of them: the first octets of all slots then use all sets of a cache. */
const SLOT_OCTETS = Math.ceil((HEADROOM_OCTETS + MAX_DATAGRAM_OCTETS) / 64 / 2) * 128 + 64;
/** Batches that are read before the event loop has its turn: about a millisecond and a half of packets. */
const MAX_BATCHES = 8;

/**
 * A UDP socket in batches: when the event loop says that something came, it is taken by recvmmsg until there is no more, 64
 * datagrams at a time, and what became of a batch leaves by sendmmsg before the next is read.
 */
class BatchedSocket implements UdpSocket {
  readonly local: Endpoint;
  readonly isBatched = true;
  readonly #calls: SystemCalls;
  readonly #descriptor: number;
  readonly #options: UdpSocketOptions;
  readonly #ipv6: boolean;
  readonly #ipv6Only: boolean;
  /** Whether datagrams say which address they came to: only a wildcard socket has to ask. */
  readonly #isWildcard: boolean;
  readonly #batch: PacketBatch;
  readonly #messages: MessageTable;
  readonly #queue: SendQueue;
  readonly #watch: Watch;
  #closed = false;

  constructor(calls: SystemCalls, descriptor: number, bound: Address, options: UdpSocketOptions) {
    this.local = toEndpoint(bound.host, bound.port);
    this.#calls = calls;
    this.#descriptor = descriptor;
    this.#options = options;
    this.#ipv6 = isIpv6(options.address.host);
    this.#isWildcard = isUnspecified(this.local.octets, 0);
    // Only the wildcard is dual-stack.
    this.#ipv6Only = options.ipv6Only || !this.#isWildcard;
    if (this.#isWildcard) calls.wantPacketInfo(descriptor, this.#ipv6);
    const nameLength = this.#ipv6 ? NAME_LENGTH.ipv6 : NAME_LENGTH.ipv4;
    this.#queue = new SendQueue(calls, descriptor, nameLength, options.onSendFailure, options.keepsUnsent);
    const memory = new Uint8Array(new ArrayBuffer(BATCH_PACKETS * SLOT_OCTETS));
    this.#batch = new PacketBatch(memory, BATCH_PACKETS);
    this.#batch.fillLocals(this.local.octets);
    this.#messages = new MessageTable((data) => calls.addressOf(data), BATCH_PACKETS, nameLength);
    const memoryAt = calls.addressOf(memory);
    for (let slot = 0; slot < BATCH_PACKETS; slot++) {
      this.#messages.aim(slot, memoryAt + slot * SLOT_OCTETS + HEADROOM_OCTETS, MAX_DATAGRAM_OCTETS);
      // The IPv4-mapped prefix stays; an IPv4 socket writes only what follows.
      parseIpInto('0.0.0.0', this.#batch.hosts, slot * 16);
    }
    this.#watch = calls.watch(descriptor, this.#drain);
  }

  reaches(hosts: Uint8Array, at: number): boolean {
    return isIpv4Mapped(hosts, at) ? !this.#ipv6 || !this.#ipv6Only : this.#ipv6;
  }

  send(
    data: Uint8Array,
    from: number,
    to: number,
    hosts: Uint8Array,
    at: number,
    port: number,
    sources?: Uint8Array,
    sourceAt = 0,
  ): void {
    if (this.#closed) {
      // The number of a closed descriptor may by now be that of another socket.
      this.#options.onSendFailure('other', 1);
      return;
    }
    const isFree = !this.#isWildcard || sources === undefined || isUnspecified(sources, sourceAt);
    this.#queue.add(data, from, to, hosts, at, port, isFree ? undefined : sources, sourceAt);
  }

  flush(): void {
    if (!this.#closed) this.#queue.flush();
  }

  get isFull(): boolean {
    return this.#queue.isFull;
  }

  kernelDrops(): number | undefined {
    return this.#closed ? undefined : this.#calls.drops(this.#descriptor);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.clear();
    this.#watch.close();
    this.#calls.close(this.#descriptor);
  }

  readonly #drain = (): void => {
    this.#takeAll();
    if (!this.#closed) this.#options.onDrained?.();
  };

  #takeAll(): void {
    const batch = this.#batch;
    for (let batches = 0; batches < MAX_BATCHES && !this.#closed; batches++) {
      if (this.#isWildcard) this.#messages.expectInfo(0, BATCH_PACKETS);
      const received = this.#calls.receive(this.#descriptor, this.#messages.addressOf(0), BATCH_PACKETS);
      // An error is none of a packet's: an ICMP message says it of something that was sent.
      if (received <= 0) return;
      batch.count = this.#take(received);
      if (batch.count > 0) this.#options.onBatch(batch, this);
      // Fewer than there was room for: nothing waits any more.
      if (received < BATCH_PACKETS) return;
    }
  }

  /** Enters what recvmmsg put into the slots. Returns how many packets the batch has. */
  #take(received: number): number {
    const batch = this.#batch;
    const messages = this.#messages;
    let count = 0;
    for (let slot = 0; slot < received; slot++) {
      if (messages.isTruncated(slot)) {
        this.#options.onOversize();
        continue;
      }
      const start = slot * SLOT_OCTETS + HEADROOM_OCTETS;
      batch.starts[count] = start;
      batch.ends[count] = start + messages.length(slot);
      batch.ports[count] = messages.readName(slot, batch.hosts, count * 16);
      if (this.#isWildcard) messages.readLocal(slot, batch.locals, count * 16);
      count++;
    }
    return count;
  }
}

/** Opens a socket. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openBatchedSocket(calls: SystemCalls, options: UdpSocketOptions): Promise<UdpSocket> {
  const { address, ipv6Only } = options;
  let descriptor: number;
  let bound: Address;
  try {
    descriptor = options.descriptor ?? calls.open(address, ipv6Only, options.reusePort);
    bound = calls.localOf(descriptor);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw explainBindError(options, code, message);
  }
  checkInherited(options, bound);
  calls.enlargeBuffers(descriptor);
  return new BatchedSocket(calls, descriptor, bound, options);
}
