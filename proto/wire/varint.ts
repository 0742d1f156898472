import { WireError } from './errors.ts';

/** Largest integer a QUIC varint can carry that a JavaScript number holds exactly (2^53 - 1; the wire's own limit is 2^62 - 1). */
export const MAX_SAFE_VARINT = Number.MAX_SAFE_INTEGER;

const TWO_32 = 0x1_0000_0000;

/** Octets that `value` takes as a QUIC varint (RFC 9000 §16): 1, 2, 4 or 8. */
export function varintLength(value: number): 1 | 2 | 4 | 8 {
  if (value < 0x40) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x4000_0000) return 4;
  return 8;
}

/** Encodes one varint into octets of its own. For cold paths; packets are written with a `Writer`. */
export function encodeVarint(value: number): Uint8Array {
  if (!(value >= 0) || value > MAX_SAFE_VARINT) throw new WireError(`${value} is not a varint`);
  const length = varintLength(value);
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  if (length === 1) view.setUint8(0, value);
  else if (length === 2) view.setUint16(0, value | 0x4000);
  else if (length === 4) view.setUint32(0, (value | 0x8000_0000) >>> 0);
  else {
    view.setUint32(0, (Math.floor(value / TWO_32) | 0xc000_0000) >>> 0);
    view.setUint32(4, value >>> 0);
  }
  return out;
}

/** Octets of a varint that begins with this octet, which may be more than it need take. */
export function varintLengthFrom(first: number): number {
  return 1 << (first >> 6);
}

/**
 * Reads the varint at `at` (RFC 9000 §16), where no cursor is needed; undefined when it is not whole before `end`. A value above 2^53 - 1
 * comes back as the nearest double.
 */
export function readVarint(data: Uint8Array, at: number, end: number = data.length): number | undefined {
  const first = data[at];
  if (first === undefined || at + varintLengthFrom(first) > end) return undefined;
  let high = 0;
  let low = first & 0x3f;
  for (let i = 1; i < varintLengthFrom(first); i++) {
    high = high * 256 + (low >>> 24);
    low = ((low << 8) | data[at + i]!) >>> 0;
  }
  return high * TWO_32 + low;
}

/** Gathers varints from octets that come one by one. A value above 2^53 - 1 comes as a double near to it. */
export class VarintOctets {
  #value = 0;
  #missing = 0;

  /** A value has begun and is not whole yet. */
  get begun(): boolean {
    return this.#missing > 0;
  }

  /** The value that this octet completes; undefined while it needs more. */
  push(octet: number): number | undefined {
    if (this.#missing === 0) {
      this.#missing = varintLengthFrom(octet) - 1;
      this.#value = octet & 0x3f;
    } else {
      this.#missing -= 1;
      this.#value = this.#value * 256 + octet;
    }
    return this.#missing === 0 ? this.#value : undefined;
  }
}
