import { VarintOctets, Writer } from '../wire/index.ts';

export interface Capsule {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Says how long a capsule of a type may be to be wanted: `undefined` skips it, whatever its length (RFC 9297 §3.2). */
export type CapsuleLimit = (type: number) => number | undefined;

/** A capsule of a wanted type is longer than its limit; the message is malformed (RFC 9297 §3.3). */
export class CapsuleError extends Error {
  override readonly name = 'CapsuleError';
}

/** Cuts the data of a stream that speaks the capsule protocol into capsules, however its octets arrive. */
export class CapsuleParser {
  readonly #limit: CapsuleLimit;
  readonly #varints = new VarintOctets();
  #step: 'type' | 'length' | 'value' = 'type';
  #type = 0;
  #left = 0;
  #value: Uint8Array | undefined;
  #behind = 0;

  constructor(limit: CapsuleLimit) {
    this.#limit = limit;
  }

  /** True between capsules: only here may the data end. */
  get atBoundary(): boolean {
    return this.#step === 'type' && !this.#varints.begun;
  }

  /** Octets of the last `push` behind the last capsule that it gave; all of them, when it gave none. */
  get octetsBehind(): number {
    return this.#behind;
  }

  /** Takes octets in and gives the wanted capsules that became whole. Throws `CapsuleError`. */
  push(data: Uint8Array): Capsule[] {
    const capsules: Capsule[] = [];
    this.#behind = data.length;
    let at = 0;
    while (at < data.length || (this.#step === 'value' && this.#left === 0)) {
      if (this.#step === 'value') {
        const given = capsules.length;
        at += this.#take(data, at, capsules);
        if (capsules.length > given) this.#behind = data.length - at;
        continue;
      }
      const varint = this.#varints.push(data[at++]!);
      if (varint !== undefined) this.#header(varint);
    }
    return capsules;
  }

  #header(value: number): void {
    if (this.#step === 'type') {
      this.#type = value;
      this.#step = 'length';
      return;
    }
    const limit = this.#limit(this.#type);
    if (limit !== undefined && value > limit)
      throw new CapsuleError(
        `a capsule of type 0x${this.#type.toString(16)} has ${value} octets, at most ${limit} are right`,
      );
    this.#value = limit === undefined ? undefined : new Uint8Array(value);
    this.#left = value;
    this.#step = 'value';
  }

  #take(data: Uint8Array, at: number, capsules: Capsule[]): number {
    const take = Math.min(this.#left, data.length - at);
    this.#value?.set(data.subarray(at, at + take), this.#value.length - this.#left);
    this.#left -= take;
    if (this.#left === 0) {
      if (this.#value !== undefined) capsules.push({ type: this.#type, value: this.#value });
      this.#step = 'type';
    }
    return take;
  }
}

export function encodeCapsule(type: number, value: Uint8Array): Uint8Array {
  return Writer.growing(value.length + 16)
    .varint(type)
    .varint(value.length)
    .bytes(value)
    .finish();
}
