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

/** The same for calls over several sessions, in `calls/`. */
export const CALL_INVARIANTS = {
  microphone:
    'every sample of the microphone reaches an upstream once and in order, and the last one lacks no word',
  answers: 'every sample of an answer reaches the page once and in order',
  'page events': 'events of the page take effect once, in order, at their place in the audio',
  'server events': 'every event of an upstream reaches the page once and in order',
  restoring: 'a fresh upstream is given each settled item once and in order, and the newest settings',
  checkpoints: 'a checkpoint never holds less than the one before it',
  tickets: 'nothing but a ticket of its own caller attaches a session to a call',
  attachments: 'the newest session carries the call, and the one before it is told',
  bounds: 'what is kept for a call stays under its bounds',
  'going on': 'a call outlives what carries it',
  faults: 'nothing that happens to a call makes a backend or a page throw',
} as const;

export type Invariant = keyof typeof INVARIANTS | keyof typeof CALL_INVARIANTS;

/** An invariant was broken: ends the run of its seed. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: Invariant;

  constructor(invariant: Invariant, what: string) {
    super(`${{ ...INVARIANTS, ...CALL_INVARIANTS }[invariant]}: ${what}`);
    this.invariant = invariant;
  }
}
