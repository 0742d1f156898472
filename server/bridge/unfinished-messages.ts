/** Holds the beginning of a message. */
export interface MessageHolder {
  /** Its beginning is to be let go: too much is held in all. */
  giveUp(): void;
}

/**
 * What pages have sent of messages that are not whole yet, in the whole process: a message may have 8 MiB, and an attacker many
 * sessions. Beyond the bound the one that holds most is given up, so that a photograph passes beside ten that never end.
 */
export class UnfinishedMessages {
  readonly maxOctets: number;
  readonly #held = new Map<MessageHolder, number>();
  #octets = 0;

  constructor(maxOctets: number) {
    this.maxOctets = maxOctets;
  }

  /** Octets held now. */
  get octets(): number {
    return this.#octets;
  }

  /** So many octets of an unfinished message are held there now; 0 when none are. */
  holds(holder: MessageHolder, octets: number): void {
    this.#octets += octets - (this.#held.get(holder) ?? 0);
    if (octets === 0) this.#held.delete(holder);
    else this.#held.set(holder, octets);
    while (this.#octets > this.maxOctets) this.#giveUpLargest();
  }

  #giveUpLargest(): void {
    let largest: MessageHolder | undefined;
    let most = 0;
    for (const [holder, octets] of this.#held)
      if (octets > most) {
        most = octets;
        largest = holder;
      }
    if (largest === undefined) return;
    this.#held.delete(largest);
    this.#octets -= most;
    largest.giveUp();
  }
}
