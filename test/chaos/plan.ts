import { SeededRandom } from '../simulation/random.ts';

/** What goes wrong, or is done by an operator. */
export const CHAOS_KINDS = [
  'forwarder killed',
  'backend killed',
  'backend stopped for 5 s',
  'backend drained',
  'config rotated',
  'certificate renewed',
  'upstreams end',
  'network cut',
  'addresses change',
  'interfaces gone',
  'forwarder added and taken away',
] as const;

export type ChaosKind = (typeof CHAOS_KINDS)[number];

export interface ChaosEvent {
  readonly atMs: number;
  readonly kind: ChaosKind;
  /** In [0, 1): which of those that it may happen to. */
  readonly which: number;
  /** In [0, 1): how long, how many. */
  readonly amount: number;
}

/** Gaps between events, in ms. */
const GAP_MS = [1500, 7000] as const;

/** What happens in a run of so many ms: every kind in turn, in an order that the seed gives, again and again. */
export function drawSchedule(seed: number, runMs: number): ChaosEvent[] {
  const random = new SeededRandom(seed, 'chaos');
  const events: ChaosEvent[] = [];
  let kinds: ChaosKind[] = [];
  for (let atMs = 1000; atMs < runMs; atMs += random.between(...GAP_MS)) {
    if (kinds.length === 0) kinds = [...CHAOS_KINDS];
    const [kind] = kinds.splice(random.integer(0, kinds.length - 1), 1);
    events.push({ atMs, kind: kind!, which: random.number(), amount: random.number() });
  }
  return events;
}
