/** The invariants that a run is held to, in words. */
export const INVARIANTS = {
  streams: 'the octets of every stream arrive once and in order, and streams end as their writer ended them',
  datagrams: 'a datagram arrives as it was sent, at most once',
  sessions:
    'a WebTransport session opens, drains and ends once on each side, with the code and the reason that were given',
  requests: 'a plain request is answered once, by its own answer',
  leftovers: 'of sessions and requests that are over nothing is left on either side',
  resumption: 'a session is resumed by any backend while its ticket is good, and not after',
  endings: 'a connection ends by what was asked for or by an error that both sides can explain',
  routing: 'no routable packet reaches a backend that does not own it',
  amplification: 'an address that is not validated is sent at most three times what came from it',
  congestion: 'octets in flight stay within the congestion window, probes apart',
  memory: 'what a connection holds stays under its bounds, and nothing of it is left when it is over',
  deadlines: 'no deadline is in the past twice',
  progress: 'a healthy network always makes progress',
  engine: 'nothing that arrives makes the engine or the forwarder throw',
} as const;

export type Invariant = keyof typeof INVARIANTS;

/** An invariant was broken: ends the run of its seed. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: Invariant;

  constructor(invariant: Invariant, what: string) {
    super(`${INVARIANTS[invariant]}: ${what}`);
    this.invariant = invariant;
  }
}
