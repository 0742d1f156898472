import type { Conditions } from './conditions.ts';
import type { SeededRandom } from './random.ts';

/** Delays that a reordered datagram is held back by. */
const REORDER_DELAYS = 4;

/** When and how one datagram arrives. */
export interface Arrival {
  readonly at: number;
  readonly data: Uint8Array;
  readonly how: 'arrives' | 'arrives twice' | 'arrives late' | 'arrives spoilt' | 'arrives cut';
}

export type Fate = readonly Arrival[] | 'lost' | 'queue full' | 'too large' | 'cut';

/** One direction of a link. */
export class Link {
  conditions: Conditions;
  readonly #random: SeededRandom;
  /** When the last octet of what was sent so far has left. */
  #busyUntil = 0;

  constructor(conditions: Conditions, random: SeededRandom) {
    this.conditions = conditions;
    this.#random = random;
  }

  /** Decides what becomes of a datagram that is sent now. */
  send(data: Uint8Array, now: number): Fate {
    const { conditions } = this;
    const random = this.#random;
    if (conditions.cut) return 'cut';
    if (conditions.mtu > 0 && data.length > conditions.mtu) return 'too large';
    if (random.chance(conditions.loss)) return 'lost';
    let leaves = now;
    if (conditions.rate > 0) {
      const waiting = Math.max(0, this.#busyUntil - now) * conditions.rate;
      if (waiting + data.length > conditions.queueOctets) return 'queue full';
      leaves = Math.max(now, this.#busyUntil) + data.length / conditions.rate;
      this.#busyUntil = leaves;
    }
    const first = this.#arrival(data, leaves);
    if (!random.chance(conditions.duplicate)) return [first];
    return [first, { ...this.#arrival(data, leaves), how: 'arrives twice' }];
  }

  #arrival(data: Uint8Array, leaves: number): Arrival {
    const { conditions } = this;
    const random = this.#random;
    const jitter = conditions.jitterMs > 0 ? random.between(0, conditions.jitterMs) : 0;
    const at = leaves + conditions.delayMs + jitter;
    if (random.chance(conditions.corrupt)) return { at, data: spoil(data, random), how: 'arrives spoilt' };
    if (random.chance(conditions.truncate)) {
      return { at, data: data.slice(0, random.integer(0, data.length)), how: 'arrives cut' };
    }
    if (random.chance(conditions.reorder)) {
      const late = at + random.between(0, REORDER_DELAYS * Math.max(conditions.delayMs, 5));
      return { at: late, data, how: 'arrives late' };
    }
    return { at, data, how: 'arrives' };
  }
}

function spoil(data: Uint8Array, random: SeededRandom): Uint8Array {
  const out = data.slice();
  if (out.length === 0) return out;
  for (let i = random.integer(1, 4); i > 0; i--) {
    // The first octets hold what forwarders and parsers read: half of the damage is done there.
    const at = random.integer(0, random.chance(0.5) ? Math.min(40, out.length) - 1 : out.length - 1);
    out[at] = (out[at] as number) ^ (1 << random.integer(0, 7));
  }
  return out;
}
