/** What every path carries (RFC 9000 §14). */
const BASE_DATAGRAM_OCTETS = 1200;
/** Probes of one size that are lost before it is believed not to pass (RFC 8899 §5.1.2, MAX_PROBES). */
const MAX_PROBES = 3;
/** The search ends when the largest size that passes is known to this many octets. */
const SEARCH_STEP_OCTETS = 16;
/** After this long a finished search begins again: the path may have changed for the better (RFC 8899 §5.1.1, PMTU_RAISE_TIMER). */
const RAISE_AFTER_MS = 600_000;
/** After a black hole the search rests this long, so that a path that comes and goes is not tried at every turn. */
const REST_AFTER_BLACK_HOLE_MS = 60_000;
/** Times that large packets were lost, and none delivered, which make a black hole (RFC 8899 §4.3). */
const BLACK_HOLE_LOSSES = 3;

/**
 * Finds how large datagrams may be on the path in use, by probes (DPLPMTUD: RFC 8899, RFC 9000 §14.3): from `base` up to
 * `limit`, the limit first, as it mostly passes; then by halves. Sizes are octets of UDP payload. It sends nothing and has
 * no timer: a probe is due when something else may be sent.
 */
export class PathMtu {
  readonly #start: number;
  #limit: number;
  #current: number;
  /** The smallest size that is known not to pass, or one past the limit. */
  #failed: number;
  /** The size of the probe that is on its way, or of the next one. */
  #size = 0;
  #inFlight = false;
  #lostProbes = 0;
  #resumeAt = 0;
  #largeLosses = 0;

  /** `start`: what is sent at once; `limit`: the most that is tried, no smaller. */
  constructor(start: number, limit: number) {
    this.#start = start;
    this.#current = start;
    this.#limit = Math.max(start, limit);
    this.#failed = this.#limit + 1;
  }

  /** The size to send with. */
  get current(): number {
    return this.#current;
  }

  /** The peer's max_udp_payload_size. */
  limitTo(octets: number): void {
    this.#limit = Math.min(this.#limit, octets);
    this.#current = Math.min(this.#current, this.#limit);
    this.#failed = this.#limit + 1;
  }

  /** Another path: nothing is known of it. */
  reset(): void {
    this.#current = Math.min(this.#start, this.#limit);
    this.#failed = this.#limit + 1;
    this.#inFlight = false;
    this.#lostProbes = 0;
    this.#largeLosses = 0;
    this.#resumeAt = 0;
  }

  /** Size of the probe to send at `now`; 0 when none is due. */
  probeSize(now: number): number {
    if (this.#inFlight || now < this.#resumeAt) return 0;
    if (this.#resumeAt > 0) {
      this.#resumeAt = 0;
      this.#failed = this.#limit + 1;
    }
    if (this.#lostProbes === 0) this.#size = this.#nextSize();
    if (this.#size > 0) return this.#size;
    this.#resumeAt = now + RAISE_AFTER_MS;
    return 0;
  }

  #nextSize(): number {
    if (this.#current >= this.#limit) return 0;
    if (this.#failed > this.#limit) return this.#limit;
    const middle = Math.floor((this.#current + this.#failed) / 2);
    return this.#failed - this.#current <= SEARCH_STEP_OCTETS ? 0 : middle;
  }

  probeSent(): void {
    this.#inFlight = true;
  }

  /** A probe of `octets` arrived; true when the size to send with grew. */
  probeAcked(octets: number): boolean {
    if (!this.#inFlight || octets !== this.#size) return false;
    this.#inFlight = false;
    this.#lostProbes = 0;
    this.#largeLosses = 0;
    if (octets <= this.#current) return false;
    this.#current = octets;
    return true;
  }

  probeLost(octets: number): void {
    if (!this.#inFlight || octets !== this.#size) return;
    this.#inFlight = false;
    this.#lostProbes += 1;
    if (this.#lostProbes < MAX_PROBES) return;
    this.#lostProbes = 0;
    this.#failed = octets;
  }

  /** A packet of `octets` that was no probe arrived. */
  delivered(octets: number): void {
    if (octets > BASE_DATAGRAM_OCTETS) this.#largeLosses = 0;
  }

  /** Packets were found lost, the largest of `octets`; true when that makes a black hole and the size fell. */
  lost(octets: number, now: number): boolean {
    if (octets <= BASE_DATAGRAM_OCTETS) return false;
    this.#largeLosses += 1;
    return this.#largeLosses >= BLACK_HOLE_LOSSES && this.blackHole(now);
  }

  /** Goes back to what every path carries; false when that is in use already. */
  blackHole(now: number): boolean {
    this.#largeLosses = 0;
    if (this.#current <= BASE_DATAGRAM_OCTETS) return false;
    this.#failed = this.#current;
    this.#current = BASE_DATAGRAM_OCTETS;
    this.#inFlight = false;
    this.#lostProbes = 0;
    this.#resumeAt = now + REST_AFTER_BLACK_HOLE_MS;
    return true;
  }
}
