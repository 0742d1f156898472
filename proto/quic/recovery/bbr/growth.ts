/** Doublings per round beyond which the volume grows no faster. */
const MAX_SLOPE = 30;

/** How fast a probe for bandwidth raises the volume that is safe: by 1, 2, 4, 8, … datagrams in each round (BBR draft §5.3.3.5). */
export class Growth {
  #rounds = 0;
  #acked = 0;
  #ackedPerStep = Number.POSITIVE_INFINITY;

  begin(): void {
    this.#rounds = 0;
    this.#acked = 0;
  }

  stop(): void {
    this.#ackedPerStep = Number.POSITIVE_INFINITY;
  }

  /** Another round of the probe. */
  raise(windowOctets: number, datagramOctets: number): void {
    const steps = 2 ** this.#rounds;
    this.#rounds = Math.min(this.#rounds + 1, MAX_SLOPE);
    this.#ackedPerStep = Math.max(windowOctets / steps, datagramOctets);
  }

  /** So many octets were acknowledged: gives datagrams to grow by. */
  acked(octets: number): number {
    this.#acked += octets;
    if (this.#acked < this.#ackedPerStep) return 0;
    const steps = Math.floor(this.#acked / this.#ackedPerStep);
    this.#acked -= steps * this.#ackedPerStep;
    return steps;
  }
}
