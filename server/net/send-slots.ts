import { BATCH_PACKETS, type UdpSocket } from '../../net/udp/index.ts';

/** Room of a slot at first: a full datagram on Ethernet. What is larger gets memory of its own. */
const SLOT_OCTETS = 2048;

/**
 * Memory that datagrams wait in for the next flush of their socket, which then sends them in one system call. A socket that does
 * not send in batches may keep what it is given, so there each datagram has memory of its own.
 */
export class SendSlots {
  /** Where in the memory that `next` gave the datagram begins. */
  at = 0;
  readonly #socket: UdpSocket;
  readonly #memory: Uint8Array;
  readonly #maxOctets: number;
  #used = 0;

  constructor(socket: UdpSocket, maxOctets: number) {
    this.#socket = socket;
    this.#maxOctets = maxOctets;
    this.#memory = new Uint8Array(new ArrayBuffer(socket.isBatched ? BATCH_PACKETS * SLOT_OCTETS : 0));
  }

  /** Memory for a datagram of that many octets, from `at` on, until the next `flush`. */
  next(octets: number): Uint8Array {
    if (octets > this.#maxOctets) throw new RangeError(`a datagram of ${octets} octets`);
    if (octets > SLOT_OCTETS || !this.#socket.isBatched) {
      this.at = 0;
      return new Uint8Array(octets);
    }
    this.at = this.#used++ * SLOT_OCTETS;
    return this.#memory;
  }

  send(data: Uint8Array, from: number, to: number, host: Uint8Array, port: number, source: Uint8Array): void {
    this.#socket.send(data, from, to, host, 0, port, source, 0);
    if (this.#used === BATCH_PACKETS) this.flush();
  }

  /** While the socket is full, memory is not used again, and none is to be asked for. */
  get isFull(): boolean {
    return this.#socket.isFull;
  }

  flush(): void {
    this.#socket.flush();
    if (!this.#socket.isFull) this.#used = 0;
  }
}
