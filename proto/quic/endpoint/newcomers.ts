import { Queue } from '../../wire/index.ts';
import type { Datagram } from '../types.ts';

/** How many Retries a handshake that begins costs as much as: it is a key agreement and a signature. */
export const ACCEPT_UNITS = 16;
/** First packets that wait for their turn; they are of one datagram's size each, so some 1.5 MiB. Those of 200 ms of a flood fit. */
const MAX_WAITING_NEWCOMERS = 1024;
/** Octets of them, for datagrams that are larger. */
const MAX_WAITING_OCTETS = 2 << 20;

/**
 * Holds first packets back when many come at once, so that those who have a connection are served in between: of a flood only so
 * many are looked at in a turn, and the rest wait, copied. What does not fit is dropped; its client sends it again.
 */
export class Newcomers {
  readonly #waiting = new Queue<Datagram>();
  #octets = 0;
  #waitingSince: number | undefined;
  readonly #perTurn: number;
  #left: number;

  /** `perTurn`: what first packets may cost in one turn, where a Retry costs 1. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  spend(units: number): void {
    this.#left -= units;
  }

  /** Whether a first packet is to be held, since this turn's share is spent or others wait before it. */
  get mustWait(): boolean {
    return this.#left <= 0 || !this.#waiting.isEmpty;
  }

  /** Keeps a copy. False when too many wait. */
  hold({ data, path, via }: Datagram, now: number): boolean {
    if (this.#waiting.length >= MAX_WAITING_NEWCOMERS || this.#octets + data.length > MAX_WAITING_OCTETS)
      return false;
    const copy = data.slice();
    this.#waiting.push(via === undefined ? { data: copy, path } : { data: copy, path, via });
    this.#octets += data.length;
    this.#waitingSince ??= now;
    return true;
  }

  /** When the next turn is due: at once, if any wait. */
  get deadline(): number | undefined {
    return this.#waitingSince;
  }

  startTurn(): void {
    this.#left = this.#perTurn;
  }

  /** The one that has waited longest, if this turn has anything left for it. */
  take(): Datagram | undefined {
    if (this.#left <= 0) return undefined;
    const datagram = this.#waiting.shift();
    if (datagram !== undefined) this.#octets -= datagram.data.length;
    if (this.#waiting.isEmpty) this.#waitingSince = undefined;
    return datagram;
  }
}
