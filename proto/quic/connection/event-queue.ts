import { Queue } from '../../wire/index.ts';
import type { QuicEvent } from '../events.ts';
import type { StreamSet } from '../streams/index.ts';
import { DatagramQueue } from './send/datagrams.ts';

/** Orders what a connection tells its owner: its own news, then streams, then datagrams, `closed` last of all. */
export class EventQueue {
  readonly #own = new Queue<QuicEvent>();
  readonly #datagrams: DatagramQueue;
  #closed: QuicEvent | undefined;
  #finished = false;

  constructor(datagramOctets: number) {
    this.#datagrams = new DatagramQueue(datagramOctets);
  }

  push(event: QuicEvent): void {
    this.#own.push(event);
  }

  /** A datagram of the peer; the oldest one goes when there is no room (RFC 9221 §5.3 lets us drop). */
  pushDatagram(data: Uint8Array): void {
    while (!this.#datagrams.push(data)) if (this.#datagrams.shift() === undefined) return;
  }

  setClosed(event: QuicEvent): void {
    this.#closed ??= event;
  }

  poll(streams: StreamSet): QuicEvent | undefined {
    if (this.#finished) return undefined;
    const own = this.#own.shift();
    if (own !== undefined) return own;
    const fromStreams = streams.poll();
    if (fromStreams !== undefined) return fromStreams;
    const data = this.#datagrams.shift();
    if (data !== undefined) return { type: 'datagram', data };
    if (this.#closed === undefined) return undefined;
    this.#finished = true;
    return this.#closed;
  }

  /** News that were not polled yet, those of streams and datagrams apart. */
  get length(): number {
    return this.#own.length;
  }

  /** Octets of datagrams that were not polled yet. */
  get datagramOctets(): number {
    return this.#datagrams.octets;
  }

  get datagramsDropped(): number {
    return this.#datagrams.dropped;
  }
}
