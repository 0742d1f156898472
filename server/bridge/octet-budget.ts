/** Octets that many calls may keep together. It counts and says when that is too much; the owner of the octets lets go of some. */
export class OctetBudget {
  readonly maxOctets: number;
  #octets = 0;

  constructor(maxOctets: number) {
    this.maxOctets = maxOctets;
  }

  /** Octets kept now. */
  get octets(): number {
    return this.#octets;
  }

  get exceeded(): boolean {
    return this.#octets > this.maxOctets;
  }

  /** Counts octets kept (above 0) or let go (below 0). */
  add(octets: number): void {
    this.#octets += octets;
  }
}

/** Answer audio that a call may keep although the process keeps more than it should: a minute of PCM at 24 kHz. */
const FAIR_OCTETS = 60 * 48_000;

/** Counts the answer audio of one call that waits for its page, also against what the process may keep. */
export class AnswerQueue {
  readonly #maxOctets: number;
  readonly #budget: OctetBudget | undefined;
  #octets = 0;

  constructor(maxOctets: number, budget: OctetBudget | undefined) {
    this.#maxOctets = maxOctets;
    this.#budget = budget;
  }

  get octets(): number {
    return this.#octets;
  }

  /** Whether something of it must go. */
  get full(): boolean {
    if (this.#octets > this.#maxOctets) return true;
    return this.#budget?.exceeded === true && this.#octets > FAIR_OCTETS;
  }

  add(octets: number): void {
    this.#octets += octets;
    this.#budget?.add(octets);
  }
}
