import { getSystemErrorName } from 'node:util';
import { BATCH_PACKETS } from '../packet-batch.ts';
import { type SendFailure, sendFailure } from '../udp-socket.ts';
import type { SystemCalls } from './libc.ts';
import { MessageTable, type NameLength } from './message-table.ts';

/** Most octets that one message may have: what an IPv4 datagram holds beside its headers. */
const MAX_MESSAGE_OCTETS = 65_507;
/** Longest typed array that V8 keeps in its heap, where it may be moved (`--typed-array-max-size-in-heap`). */
const MAX_MOVED_OCTETS = 64;

/**
 * Datagrams of one socket that leave together, by sendmmsg, straight from the memory they came into. Neighbours of one size
 * to one address leave as a single message, which the kernel carries through its layers once and parts at the end: what
 * costs there is each message, not its octets.
 */
export class SendQueue {
  readonly #calls: SystemCalls;
  readonly #descriptor: number;
  readonly #table: MessageTable;
  readonly #onFailure: (failure: SendFailure, datagrams: number) => void;
  /** Datagrams, each a piece of the table, and messages made of them. */
  #datagrams = 0;
  #messages = 0;
  /** Of each message: how many datagrams it has, and the octets of each but the last. */
  readonly #counts = new Uint8Array(BATCH_PACKETS);
  readonly #sizes = new Uint16Array(BATCH_PACKETS);
  /** The largest datagrams that may be segments: what the path or the device does not bear is tried once. */
  #segmentLimit: number;
  /** Of the last message: its octets in all, and whether more may be added. */
  #messageOctets = 0;
  #isOpen = false;
  /** The memory that was last sent from, where it is, and all that must live until the next flush. */
  #memory: Uint8Array | undefined;
  #memoryAt = 0;
  readonly #held: Uint8Array[] = [];
  readonly #keepsUnsent: boolean;
  /** Of what the kernel did not take at the last flush: its first message and that one's first datagram. */
  #unsent = { message: 0, piece: 0 };
  /** The kernel's queue was full, and what it did not take waits for the next flush. */
  isFull = false;

  /** `keepsUnsent`: what the kernel's full queue leaves is kept for the next flush; else it is dropped. */
  constructor(
    calls: SystemCalls,
    descriptor: number,
    nameLength: NameLength,
    onFailure: (failure: SendFailure, datagrams: number) => void,
    keepsUnsent = false,
  ) {
    this.#keepsUnsent = keepsUnsent;
    this.#calls = calls;
    this.#descriptor = descriptor;
    this.#table = new MessageTable((data) => calls.addressOf(data), BATCH_PACKETS, nameLength);
    this.#onFailure = onFailure;
    this.#segmentLimit = calls.canSegment ? MAX_MESSAGE_OCTETS : 0;
  }

  /** Takes up the datagram `data[from..to)`; it leaves from the address at `sources[sourceAt]`, or from any. */
  add(
    data: Uint8Array,
    from: number,
    to: number,
    hosts: Uint8Array,
    at: number,
    port: number,
    sources?: Uint8Array,
    sourceAt = 0,
  ): void {
    if (this.#datagrams === BATCH_PACKETS) this.flush();
    if (this.isFull) {
      this.#onFailure('full', 1);
      return;
    }
    if (data !== this.#memory) this.#hold(data);
    const octets = to - from;
    const piece = this.#datagrams++;
    this.#table.aim(piece, this.#memoryAt + from, octets);
    if (
      this.#joins(octets, hosts, at, port) &&
      this.#table.hasSource(this.#messages - 1, sources, sourceAt)
    ) {
      const message = this.#messages - 1;
      const count = (this.#counts[message] as number) + 1;
      this.#counts[message] = count;
      this.#messageOctets += octets;
      const size = this.#sizes[message] as number;
      this.#table.compose(message, piece + 1 - count, count, size);
      // Only the last datagram of a message may be shorter.
      this.#isOpen = octets === size;
      return;
    }
    const message = this.#messages++;
    this.#counts[message] = 1;
    this.#sizes[message] = octets;
    this.#messageOctets = octets;
    this.#isOpen = octets > 0 && octets <= this.#segmentLimit;
    this.#table.setSource(message, sources, sourceAt);
    this.#table.compose(message, piece, 1, 0);
    this.#table.setName(message, hosts, at, port);
  }

  #joins(octets: number, hosts: Uint8Array, at: number, port: number): boolean {
    return (
      this.#isOpen &&
      octets > 0 &&
      octets <= (this.#sizes[this.#messages - 1] as number) &&
      this.#messageOctets + octets <= MAX_MESSAGE_OCTETS &&
      this.#table.hasName(this.#messages - 1, hosts, at, port)
    );
  }

  /**
   * Sends all. The kernel stops at the first message that it cannot send: when its queue is full the rest is kept if that was
   * asked for, and else dropped, as a router would, since waiting would hold up all others; any other error is that one message's, and the rest goes on.
   * Each turn passes a message or is the one retry of it, so this ends.
   */
  flush(): void {
    const messages = this.#messages;
    let { message: at, piece } = this.#unsent;
    let retriedAt = -1;
    while (at < messages) {
      const sent = this.#calls.send(this.#descriptor, this.#table.addressOf(at), messages - at);
      if (sent > 0) {
        for (const end = at + sent; at < end; at++) piece += this.#counts[at] as number;
        continue;
      }
      const code = sent === 0 ? undefined : getSystemErrorName(sent);
      // What an ICMP message or a signal says is about something else: this message was not tried yet.
      if ((code === 'ECONNREFUSED' || code === 'EINTR') && retriedAt !== at) {
        retriedAt = at;
        continue;
      }
      const failure = sendFailure(code);
      if (failure === 'full' && this.#keepsUnsent) {
        this.#unsent = { message: at, piece };
        this.isFull = true;
        return;
      }
      if (failure === 'full') {
        this.#onFailure(failure, this.#datagrams - piece);
        break;
      }
      const count = this.#counts[at] as number;
      if (count === 1) this.#onFailure(failure, 1);
      else if (this.#sendApart(at, piece, count)) {
        // EIO: the device cannot. Else they are too large for the path, which single datagrams may pass in fragments.
        this.#segmentLimit =
          code === 'EIO' ? 0 : Math.min(this.#segmentLimit, (this.#sizes[at] as number) - 1);
      }
      piece += count;
      at++;
    }
    this.clear();
  }

  /** Sends the datagrams of a message one by one. Returns whether any could be sent: then it was the segments that could not. */
  #sendApart(message: number, first: number, count: number): boolean {
    let isAnySent = false;
    for (let piece = first; piece < first + count; piece++) {
      this.#table.compose(message, piece, 1, 0);
      const sent = this.#calls.send(this.#descriptor, this.#table.addressOf(message), 1);
      if (sent === 1) isAnySent = true;
      else this.#onFailure(sendFailure(sent === 0 ? undefined : getSystemErrorName(sent)), 1);
    }
    return isAnySent;
  }

  /** Forgets all. */
  clear(): void {
    this.#datagrams = 0;
    this.#messages = 0;
    this.#isOpen = false;
    this.#unsent = { message: 0, piece: 0 };
    this.isFull = false;
    // V8 may move what is as short as this.
    if (this.#memory !== undefined && this.#memory.length <= MAX_MOVED_OCTETS) this.#memory = undefined;
    if (this.#held.length > 0) this.#held.length = 0;
  }

  #hold(data: Uint8Array): void {
    if (this.#memory !== undefined) this.#held.push(this.#memory);
    this.#memory = data;
    this.#memoryAt = this.#calls.addressOf(data);
  }
}
