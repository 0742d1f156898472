/** What a link does to datagrams in one direction. Times are milliseconds, sizes octets, shares 0 to 1. */
export interface Conditions {
  readonly delayMs: number;
  /** Up to this much more, at random: reorders when it is more than the gap between datagrams. */
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** Share that is held back by several delays. */
  readonly reorder: number;
  /** Share that arrives with octets changed. */
  readonly corrupt: number;
  /** Share that arrives cut short. */
  readonly truncate: number;
  /** Octets per millisecond; 0 has no limit. */
  readonly rate: number;
  /** Octets that wait for their turn at that rate; what finds no room is lost. */
  readonly queueOctets: number;
  /** Larger datagrams vanish; 0 lets all pass. */
  readonly mtu: number;
  /** Nothing passes. */
  readonly cut: boolean;
}

export const PERFECT: Conditions = Object.freeze({
  delayMs: 10,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  truncate: 0,
  rate: 0,
  queueOctets: 0,
  mtu: 0,
  cut: false,
});

/** Every path that QUIC may use carries so much (RFC 9000 §14). */
const LEAST_MTU = 1200;

/** What stays of bad conditions when a run calms down: where things are, not what goes wrong. */
export function calmed(conditions: Conditions): Conditions {
  return {
    ...PERFECT,
    delayMs: conditions.delayMs,
    rate: conditions.rate,
    queueOctets: conditions.queueOctets,
    mtu: conditions.mtu >= LEAST_MTU ? conditions.mtu : 0,
  };
}

/** Whether a link may lose or spoil datagrams. */
export function isRough(conditions: Conditions): boolean {
  const { loss, corrupt, truncate, rate, mtu, cut } = conditions;
  return loss > 0 || corrupt > 0 || truncate > 0 || rate > 0 || mtu > 0 || cut;
}
