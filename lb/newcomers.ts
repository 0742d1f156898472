import { type Rendezvous, SLOTS } from './rendezvous.ts';

/** So few backends are looked at each time: that is quicker than a table, which is cold after every reload. */
const FEW_BACKENDS = 32;
const UNKNOWN = -1;

/**
 * Where newcomers go: the backend of their slot among those that take new connections. With many backends it is kept for each
 * slot that was asked for, 8 MiB together, so that a packet costs the same whether there are a hundred backends or ten thousand. The same
 * backend as `Rendezvous.best` gives, always.
 *
 * A slot's backend is the best of all that took new connections at some time since it was found: one that leaves is seen when its
 * slot is asked for, one that joins is compared with what each slot has.
 */
export class NewcomerTable {
  readonly #rendezvous: Rendezvous;
  readonly #takingNew: Uint8Array;
  readonly #winners: Int32Array | undefined;
  readonly #scores: Uint32Array;

  /** `takingNew`: 1 for each backend that takes new connections; read at every pick. */
  constructor(rendezvous: Rendezvous, takingNew: Uint8Array, few = FEW_BACKENDS) {
    this.#rendezvous = rendezvous;
    this.#takingNew = takingNew;
    this.#winners = takingNew.length > few ? new Int32Array(SLOTS).fill(UNKNOWN) : undefined;
    this.#scores = new Uint32Array(this.#winners === undefined ? 0 : SLOTS);
  }

  /** Index of the backend for a client whose address of 16 octets is at `hosts[at]`, or -1 when none takes new connections. */
  pick(hosts: Uint8Array, at: number, port: number): number {
    const slot = this.#rendezvous.slotFor(hosts, at, port);
    const winners = this.#winners;
    if (winners === undefined) return this.#rendezvous.best(slot, this.#takingNew);
    const known = winners[slot] as number;
    if (known !== UNKNOWN && this.#takingNew[known] === 1) return known;
    const best = this.#rendezvous.best(slot, this.#takingNew);
    winners[slot] = best;
    if (best !== UNKNOWN) this.#scores[slot] = this.#rendezvous.score(slot, best);
    return best;
  }

  /** A backend takes new connections again: it may be the best of slots that have another. */
  joined(backend: number): void {
    const winners = this.#winners;
    if (winners === undefined) return;
    const scores = this.#scores;
    for (let slot = 0; slot < SLOTS; slot++) {
      const known = winners[slot] as number;
      if (known === UNKNOWN || known === backend) continue;
      const score = this.#rendezvous.score(slot, backend);
      const best = scores[slot] as number;
      if (score < best || (score === best && !this.#rendezvous.winsDraw(backend, known))) continue;
      winners[slot] = backend;
      scores[slot] = score;
    }
  }
}
