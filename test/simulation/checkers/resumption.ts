import type { SessionTicket } from '../../../proto/tls/index.ts';
import { Violation } from '../violation.ts';

/** Tickets count in whole seconds. */
const SECOND_MS = 1000;

interface Offer {
  /** The ticket was sealed between these times. */
  readonly earliestMs: number;
  readonly latestMs: number;
}

/** Holds resumed handshakes to the tickets that clients were given: good ones are taken, by any backend, old ones are not. */
export class ResumptionChecker {
  readonly #lifetimeMs: number;
  readonly #given = new Map<SessionTicket, Offer>();
  readonly #offered = new Map<string, Offer>();

  constructor(lifetimeSeconds: number | undefined) {
    this.#lifetimeMs = (lifetimeSeconds ?? 0) * SECOND_MS;
  }

  /** A connection dialled at `dialledAt` gave its client a ticket. */
  onTicket(ticket: SessionTicket, dialledAt: number, now: number): void {
    this.#given.set(ticket, { earliestMs: dialledAt, latestMs: now });
  }

  onOffer(call: string, ticket: SessionTicket): void {
    this.#offered.set(call, this.#given.get(ticket)!);
  }

  /** The client's handshake of `call`, begun at `dialledAt`, is complete. */
  onConnected(call: string, resumed: boolean, dialledAt: number, now: number): void {
    const offer = this.#offered.get(call);
    const fail = (what: string) => new Violation('resumption', `${call}: ${what}`);
    if (offer === undefined) {
      if (resumed) throw fail('it resumed a session, none was offered');
      return;
    }
    const oldest = now - offer.earliestMs;
    const youngest = dialledAt - offer.latestMs;
    if (!resumed && oldest + SECOND_MS < this.#lifetimeMs)
      throw fail(`a ticket of at most ${oldest.toFixed(0)} ms was refused`);
    if (resumed && youngest - SECOND_MS > this.#lifetimeMs)
      throw fail(
        `a ticket of at least ${youngest.toFixed(0)} ms was taken, its life is ${this.#lifetimeMs} ms`,
      );
  }
}
