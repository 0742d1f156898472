import { Queue } from '../../wire/index.ts';
import { buildStatelessReset, buildVersionNegotiation, VERSION_1 } from '../packet/index.ts';
import type { Datagram, RandomSource } from '../types.ts';

/** Stateless answers (some 150 octets) that wait to be sent; beyond it they are not made. Those of 200 ms of a flood fit. */
const MAX_WAITING = 1024;
/** Stateless Resets at a burst, and per second: enough for all callers of a dead backend, too few to be of use to an attacker. */
const RESET_BURST = 1000;
const RESETS_PER_SECOND = 1000;

/** Answers that need no connection: Version Negotiation, Retry, a refusal, Stateless Reset. */
export class StatelessSender {
  readonly #random: RandomSource;
  readonly #waiting = new Queue<Datagram>();
  #resetCredit = RESET_BURST;
  #creditAt = 0;
  versionNegotiations = 0;
  retries = 0;
  /** Those of `retries` that sent a client to another endpoint. */
  steeredRetries = 0;
  resets = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  take(): Datagram | undefined {
    return this.#waiting.shift();
  }

  get isEmpty(): boolean {
    return this.#waiting.isEmpty;
  }

  #answer(received: Datagram, data: Uint8Array): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false;
    const { path, via } = received;
    this.#waiting.push(via === undefined ? { data, path } : { data, path, via });
    return true;
  }

  versionNegotiation(
    received: Datagram,
    ids: { destinationConnectionId: Uint8Array; sourceConnectionId: Uint8Array },
  ): boolean {
    const sent = this.#answer(received, buildVersionNegotiation(ids, [VERSION_1], this.#random(5)));
    if (sent) this.versionNegotiations += 1;
    return sent;
  }

  retry(received: Datagram, packet: Uint8Array, steered: boolean): boolean {
    const sent = this.#answer(received, packet);
    if (sent) this.retries += 1;
    if (sent && steered) this.steeredRetries += 1;
    return sent;
  }

  /** CONNECTION_CLOSE for a connection that was not begun. */
  refuse(received: Datagram, packet: Uint8Array): void {
    this.#answer(received, packet);
  }

  /** False when it would not be smaller than what it answers (RFC 9000 §10.3.3), or too many were sent. */
  statelessReset(received: Datagram, token: Uint8Array, now: number): boolean {
    this.#resetCredit = Math.min(
      RESET_BURST,
      this.#resetCredit + (Math.max(0, now - this.#creditAt) * RESETS_PER_SECOND) / 1000,
    );
    this.#creditAt = now;
    if (this.#resetCredit < 1) return false;
    const packet = buildStatelessReset(token, received.data.length, this.#random);
    if (packet === undefined || !this.#answer(received, packet)) return false;
    this.#resetCredit -= 1;
    this.resets += 1;
    return true;
  }
}
