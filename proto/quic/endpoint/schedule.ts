import { Queue } from '../../wire/index.ts';
import type { Datagram } from '../types.ts';
import { DeadlineHeap } from './deadline-heap.ts';
import type { ConnectionEntry } from './entry.ts';
import type { EndpointEvent } from './options.ts';

/** What a schedule tells its endpoint. */
export interface ScheduleHost {
  /** The connection has ended, and its closing period begins. */
  onClosed(entry: ConnectionEntry): void;
  /** Nothing is left of the connection: it may be forgotten. */
  onFinished(entry: ConnectionEntry): void;
}

/**
 * Which connection has its turn: to send, to tell events, or because a deadline of it has passed. Work is done only for
 * those that something happened to, and those that send take turns.
 */
export class ConnectionSchedule {
  readonly #host: ScheduleHost;
  readonly #deadlines = new DeadlineHeap<ConnectionEntry>();
  readonly #toSend = new Queue<ConnectionEntry>();
  readonly #toPoll = new Queue<ConnectionEntry>();
  /** Counts calls of `onDeadline`. */
  #turn = 0;

  constructor(host: ScheduleHost) {
    this.#host = host;
  }

  /** Something happened to a connection: it may have datagrams to send and events to tell. */
  activate(entry: ConnectionEntry): void {
    if (!entry.inSendQueue) {
      entry.inSendQueue = true;
      entry.queuedInTurn = this.#turn;
      this.#toSend.push(entry);
    }
    if (!entry.inPollQueue) {
      entry.inPollQueue = true;
      this.#toPoll.push(entry);
    }
  }

  /** A datagram of the connection whose turn it is; `undefined` when none has any to send now. */
  transmit(now: number): Datagram | undefined {
    for (let entry = this.#toSend.shift(); entry !== undefined; entry = this.#toSend.shift()) {
      const datagram = entry.connection.transmit(now);
      if (datagram !== undefined) {
        this.#toSend.push(entry);
        return datagram;
      }
      entry.inSendQueue = false;
      this.#settle(entry);
    }
    return undefined;
  }

  /** Nothing to send for now: note when to look again, or forget it. */
  #settle(entry: ConnectionEntry): void {
    if (!entry.connection.finished) {
      this.#deadlines.schedule(entry, entry.connection.deadline());
      return;
    }
    this.#deadlines.remove(entry);
    this.#host.onFinished(entry);
  }

  /** The earliest deadline of a connection. A pure read. */
  deadline(): number | undefined {
    let earliest = this.#deadlines.earliest?.scheduledAt;
    // Those that were not asked for datagrams yet are scheduled once they were.
    this.#toSend.forEach(({ connection }) => {
      const at = connection.deadline();
      if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at;
    });
    return earliest;
  }

  onDeadline(now: number): void {
    for (
      let entry = this.#deadlines.earliest;
      entry !== undefined && entry.scheduledAt <= now;
      entry = this.#deadlines.earliest
    ) {
      // Out of the heap until it has sent: what it schedules next is known then.
      this.#deadlines.remove(entry);
      entry.connection.onDeadline(now);
    }
    const turn = this.#turn++;
    this.#toSend.forEach((entry) => {
      // One that has waited no longer than since the last turn is asked once it has sent, and goes by what it was scheduled for until then.
      if (entry.queuedInTurn === turn && entry.heapSlot >= 0) return;
      const at = entry.connection.deadline();
      if (at !== undefined && at <= now) entry.connection.onDeadline(now);
    });
  }

  /** The next event of a connection, `undefined` when there is none now. */
  poll(): EndpointEvent | undefined {
    for (let entry = this.#toPoll.peek(); entry !== undefined; entry = this.#toPoll.peek()) {
      const event = entry.connection.poll();
      if (event?.type === 'closed') this.#host.onClosed(entry);
      if (event !== undefined) return { type: 'event', connection: entry.connection, event };
      entry.inPollQueue = false;
      this.#toPoll.shift();
    }
    return undefined;
  }
}
