/** Gains of the states, of pace and of window. */
export const GAINS = {
  startup: { pacing: 2.77, window: 2 },
  drain: { pacing: 0.5, window: 2 },
  down: { pacing: 0.9, window: 2 },
  cruise: { pacing: 1, window: 2 },
  refill: { pacing: 1, window: 2 },
  up: { pacing: 1.25, window: 2.25 },
  'probe-rtt': { pacing: 1, window: 0.5 },
} as const;
/** `down` to `up` are the states of ProbeBW. */
export type State = keyof typeof GAINS;
export const PROBE_BW: ReadonlySet<State> = new Set(['down', 'cruise', 'refill', 'up']);

/** What an acknowledgement says of probes for bandwidth. */
export type AckPhase = 'none' | 'refilling' | 'starting' | 'feedback' | 'stopping';

/** The state, and what is believed of the path: octets, ms, octets per ms. */
export interface BbrFigures {
  readonly state: State;
  readonly bandwidth: number;
  readonly minRttMs: number;
  readonly inflightLongterm: number;
}
