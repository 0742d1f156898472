import { performance } from 'node:perf_hooks';
import type { Datagram, EndpointEvent, QuicEndpoint } from '../../proto/quic/index.ts';
import { sameAddress } from '../../proto/quic/index.ts';
import type { PacketSocket } from './packet-socket.ts';

/** Longest delay that `setTimeout` keeps. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Datagrams sent in one turn of the event loop before received ones get theirs. */
const SEND_BATCH = 256;
/** When a full socket is tried again, in ms. */
const FULL_RETRY_MS = 1;
/** Batches sent before the sockets are closed: a bound, above what any number of connections has to say at the end. */
const CLOSING_BATCHES = 1000;

/**
 * Drives a `QuicEndpoint` over sockets: bytes in, everything out, one timer. All packets that one turn of the event
 * loop delivers are taken before anything is sent, so that one acknowledgement answers many.
 */
export class EndpointDriver {
  readonly #endpoint: QuicEndpoint;
  readonly #sockets: readonly PacketSocket[];
  readonly #onEvent: (event: EndpointEvent) => void;
  #immediate: NodeJS.Immediate | undefined;
  /** Datagrams were taken of a socket that will say when it has given all. */
  #received = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  /** Events are being told, and what they lead to is sent right after. */
  #telling = false;
  #closed = false;

  constructor(
    endpoint: QuicEndpoint,
    sockets: readonly PacketSocket[],
    onEvent: (event: EndpointEvent) => void,
  ) {
    this.#endpoint = endpoint;
    this.#sockets = sockets;
    this.#onEvent = onEvent;
    for (const socket of sockets) {
      const tellsEnd = socket.onDrained?.(() => this.#drained()) ?? false;
      socket.onDatagram((datagram) => this.#receive(datagram, tellsEnd));
    }
  }

  /** Milliseconds, monotonic: the clock of every connection of this driver. */
  now(): number {
    return performance.now();
  }

  /** Call after using a connection outside of `onEvent`: what it has to send goes out within this turn of the loop. */
  wake(): void {
    if (this.#immediate !== undefined || this.#telling || this.#closed) return;
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.#pump();
    });
  }

  /** Sends what is due and closes the sockets; again does nothing. Connections that are still open are not told: close them before. */
  async close(): Promise<void> {
    if (this.#closed) return;
    // Every connection has its close to send, and one pump sends a batch.
    for (let batch = 0; batch < CLOSING_BATCHES; batch++) {
      this.#pump();
      if (this.#immediate === undefined) break;
      clearImmediate(this.#immediate);
      this.#immediate = undefined;
    }
    this.#closed = true;
    clearImmediate(this.#immediate);
    clearTimeout(this.#timer);
    await Promise.all(this.#sockets.map((socket) => socket.close()));
  }

  #receive(datagram: Datagram, tellsEnd: boolean): void {
    if (this.#closed) return;
    this.#endpoint.receive(datagram, performance.now());
    if (tellsEnd) this.#received = true;
    else this.wake();
  }

  /** At once: an immediate would have its turn only after another round of the event loop. */
  #drained(): void {
    if (!this.#received) return;
    this.#received = false;
    this.#pump();
  }

  #pump(): void {
    if (this.#closed) return;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    const now = performance.now();
    this.#endpoint.onDeadline(now);
    this.#telling = true;
    try {
      this.#drainEvents();
    } finally {
      this.#telling = false;
    }
    for (const socket of this.#sockets) if (socket.isFull) socket.flush();
    // What the kernel has no room for stays in the engine, where it is late and not lost.
    for (let sent = 0; sent < SEND_BATCH && !this.#isFull(); sent++) {
      const datagram = this.#endpoint.transmit(now);
      if (datagram === undefined) break;
      this.#socketFor(datagram).send(datagram);
      if (sent === SEND_BATCH - 1) this.wake();
    }
    for (const socket of this.#sockets) socket.flush();
    this.#drainEvents();
    this.#arm();
  }

  #isFull(): boolean {
    for (const socket of this.#sockets) if (socket.isFull) return true;
    return false;
  }

  #drainEvents(): void {
    for (let event = this.#endpoint.poll(); event !== undefined; event = this.#endpoint.poll())
      this.#onEvent(event);
  }

  #socketFor(datagram: Datagram): PacketSocket {
    const { local } = datagram.path;
    for (const socket of this.#sockets) if (socket.local === local) return socket;
    for (const socket of this.#sockets) if (sameAddress(socket.local, local)) return socket;
    for (const socket of this.#sockets) if (socket.owns(local)) return socket;
    return this.#sockets[0]!;
  }

  #arm(): void {
    const deadline = this.#isFull()
      ? performance.now() + FULL_RETRY_MS
      : (this.#endpoint.deadline() ?? Number.POSITIVE_INFINITY);
    // Deadlines mostly move away. To wake once too early and look again costs less than a new timer for every packet.
    if (deadline >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    // setTimeout rounds down: a millisecond too early would only wake us twice.
    const delayMs = Math.min(Math.max(Math.ceil(deadline - performance.now()), 0), MAX_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#pump();
    }, delayMs);
  }
}
