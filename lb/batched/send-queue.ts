import { getSystemErrorName } from 'node:util';
import { BATCH_PACKETS } from '../packet-batch.ts';
import { type SendFailure, sendFailure } from '../udp-socket.ts';
import type { SystemCalls } from './libc.ts';
import { MessageTable, type NameLength } from './message-table.ts';

/** Datagrams of one socket that leave together, by sendmmsg, straight from the memory they came into. */
export class SendQueue {
  readonly #calls: SystemCalls;
  readonly #descriptor: number;
  readonly #messages: MessageTable;
  readonly #onFailure: (failure: SendFailure, datagrams: number) => void;
  #count = 0;
  /** The memory that was last sent from, where it is, and all that must live until the next flush. */
  #memory: Uint8Array | undefined;
  #memoryAt = 0;
  readonly #held: Uint8Array[] = [];

  constructor(
    calls: SystemCalls,
    descriptor: number,
    nameLength: NameLength,
    onFailure: (failure: SendFailure, datagrams: number) => void,
  ) {
    this.#calls = calls;
    this.#descriptor = descriptor;
    this.#messages = new MessageTable((data) => calls.addressOf(data), BATCH_PACKETS, nameLength);
    this.#onFailure = onFailure;
  }

  add(data: Uint8Array, from: number, to: number, hosts: Uint8Array, at: number, port: number): void {
    if (this.#count === BATCH_PACKETS) this.flush();
    if (data !== this.#memory) this.#hold(data);
    const index = this.#count++;
    this.#messages.aim(index, this.#memoryAt + from, to - from);
    this.#messages.setName(index, hosts, at, port);
  }

  /**
   * Sends all. The kernel stops at the first datagram that it cannot send: when its queue is full the rest is dropped, as
   * a router would, since waiting would hold up everybody; any other error is that one datagram's, and the rest goes on.
   * Each turn passes a datagram or is the one retry of it, so this ends.
   */
  flush(): void {
    const count = this.#count;
    if (count === 0) return;
    let at = 0;
    let refusedAt = -1;
    while (at < count) {
      const sent = this.#calls.send(this.#descriptor, this.#messages.addressOf(at), count - at);
      if (sent > 0) {
        at += sent;
        continue;
      }
      const code = sent === 0 ? undefined : getSystemErrorName(sent);
      // What an ICMP message or a signal says is about something else: this datagram was not tried yet.
      if ((code === 'ECONNREFUSED' || code === 'EINTR') && refusedAt !== at) {
        refusedAt = at;
        continue;
      }
      const failure = sendFailure(code);
      const lost = failure === 'full' ? count - at : 1;
      this.#onFailure(failure, lost);
      at += lost;
    }
    this.clear();
  }

  /** Forgets all. */
  clear(): void {
    this.#count = 0;
    this.#memory = undefined;
    this.#held.length = 0;
  }

  #hold(data: Uint8Array): void {
    this.#memory = data;
    this.#memoryAt = this.#calls.addressOf(data);
    this.#held.push(data);
  }
}
