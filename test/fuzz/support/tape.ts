import { seededRandom } from '../../support/quic-fixtures.ts';

const BOUNDARIES = [2 ** 6, 2 ** 14, 2 ** 16, 2 ** 30, 2 ** 32, 2 ** 53 - 1];

/** What a run decides, read octet by octet: the same tape gives the same run. At its end every answer is the first choice. */
export class Tape {
  readonly octets: Uint8Array;
  #at = 0;

  constructor(octets: Uint8Array) {
    this.octets = octets;
  }

  static seeded(seed: number, length: number): Tape {
    return new Tape(seededRandom(seed)(length));
  }

  get ended(): boolean {
    return this.#at >= this.octets.length;
  }

  u8(): number {
    return this.octets[this.#at++] ?? 0;
  }

  u32(): number {
    return ((this.u8() << 24) | (this.u8() << 16) | (this.u8() << 8) | this.u8()) >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return (limit <= 256 ? this.u8() : this.u32()) % limit;
  }

  /** True in about `percent` of a hundred; false at the end of the tape. */
  chance(percent: number): boolean {
    return this.u8() * 100 >= 256 * (100 - percent);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** `length` octets that cost four of the tape. */
  bytes(length: number): Uint8Array {
    return seededRandom(this.u32())(length);
  }

  /** An integer of a varint's range: mostly small, often at a boundary, sometimes anything. */
  integer(): number {
    const kind = this.below(8);
    if (kind < 4) return this.below(16);
    if (kind === 4) return this.below(2000);
    if (kind === 5) return this.u32() * (this.u8() + 1);
    return Math.min(Math.max(this.pick(BOUNDARIES) + this.below(5) - 2, 0), Number.MAX_SAFE_INTEGER);
  }

  /** Octets changed a little: bits flipped, an octet set, a piece cut out, doubled or put in. */
  mutate(octets: Uint8Array): Uint8Array {
    let out: Uint8Array = octets.slice();
    const changes = 1 + this.below(4);
    for (let i = 0; i < changes; i++) out = this.#change(out);
    return out;
  }

  #change(octets: Uint8Array): Uint8Array {
    const at = octets.length === 0 ? 0 : this.below(octets.length);
    const length = this.below(16) + 1;
    switch (this.below(6)) {
      case 0:
        if (octets.length > 0) octets[at]! ^= 1 << this.below(8);
        return octets;
      case 1:
        if (octets.length > 0) octets[at] = this.pick([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff]);
        return octets;
      case 2:
        return octets.slice(0, at);
      case 3:
        return joined(octets.subarray(0, at), octets.subarray(at + length));
      case 4:
        return joined(octets.subarray(0, at), this.bytes(length), octets.subarray(at));
      default:
        return joined(octets.subarray(0, at + length), octets.subarray(at));
    }
  }
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A promise of the code under test that did not hold. `oracle` names which. */
export class Finding extends Error {
  override readonly name = 'Finding';
  readonly oracle: string;

  constructor(oracle: string, detail: string, cause?: unknown) {
    super(`${oracle}: ${detail}`, { cause });
    this.oracle = oracle;
  }
}

/** Runs what must not throw. */
export function guarded<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Finding) throw error;
    throw new Finding('nothing throws across the face', `${what}: ${String(error)}`, error);
  }
}

/** Throws a `Finding` unless the condition holds. */
export function must(condition: boolean, oracle: string, detail: string): void {
  if (!condition) throw new Finding(oracle, detail);
}
