/** A 128-bit SipHash key as four 32-bit words, least significant first. */
export type SipKey = readonly [k0Low: number, k0High: number, k1Low: number, k1High: number];

const C_ROUNDS = 2;
const D_ROUNDS = 4;

/** A key from its 16 octets, in SipHash's little-endian order. */
export function sipKey(octets: Uint8Array): SipKey {
  return [word(octets, 0, 4), word(octets, 4, 4), word(octets, 8, 4), word(octets, 12, 4)];
}

/**
 * SipHash-2-4 (Aumasson and Bernstein) on 32-bit halves, since a BigInt would allocate for every packet: v0 to v3 are each a
 * low and a high half in local variables, which the compiler keeps in registers. The result is in `high` and `low`.
 */
export class SipHash {
  high = 0;
  low = 0;

  /** Hashes the octets `data[from..to)`. */
  hash(key: SipKey, data: Uint8Array, from = 0, to = data.length): void {
    let a = key[0] ^ 0x7073_6575;
    let ah = key[1] ^ 0x736f_6d65;
    let b = key[2] ^ 0x6e64_6f6d;
    let bh = key[3] ^ 0x646f_7261;
    let c = key[0] ^ 0x6e65_7261;
    let ch = key[1] ^ 0x6c79_6765;
    let d = key[2] ^ 0x7974_6573;
    let dh = key[3] ^ 0x7465_6462;
    let low = 0;
    let high = 0;
    let at = from;
    const words = (to - from) >> 3;
    const rounds = (words + 1) * C_ROUNDS;
    for (let round = 0; round < rounds + D_ROUNDS; round++) {
      if (round < rounds && round % C_ROUNDS === 0) {
        if (at + 8 <= to) {
          low = word(data, at, 4);
          high = word(data, at + 4, 4);
        } else {
          const rest = to - at;
          low = word(data, at, rest < 4 ? rest : 4);
          high = (rest > 4 ? word(data, at + 4, rest - 4) : 0) | ((to - from) << 24);
        }
        at += 8;
        d ^= low;
        dh ^= high;
      } else if (round === rounds) c ^= 0xff;

      let x = (a + b) | 0;
      ah = (ah + bh + carry(x, a)) | 0;
      a = x;
      x = ((b << 13) | (bh >>> 19)) ^ a;
      bh = ((bh << 13) | (b >>> 19)) ^ ah;
      b = x;
      x = a;
      a = ah;
      ah = x;
      x = (c + d) | 0;
      ch = (ch + dh + carry(x, c)) | 0;
      c = x;
      x = ((d << 16) | (dh >>> 16)) ^ c;
      dh = ((dh << 16) | (d >>> 16)) ^ ch;
      d = x;
      x = (a + d) | 0;
      ah = (ah + dh + carry(x, a)) | 0;
      a = x;
      x = ((d << 21) | (dh >>> 11)) ^ a;
      dh = ((dh << 21) | (d >>> 11)) ^ ah;
      d = x;
      x = (c + b) | 0;
      ch = (ch + bh + carry(x, c)) | 0;
      c = x;
      x = ((b << 17) | (bh >>> 15)) ^ c;
      bh = ((bh << 17) | (b >>> 15)) ^ ch;
      b = x;
      x = c;
      c = ch;
      ch = x;

      if (round < rounds && round % C_ROUNDS === C_ROUNDS - 1) {
        a ^= low;
        ah ^= high;
      }
    }
    this.low = (a ^ b ^ c ^ d) >>> 0;
    this.high = (ah ^ bh ^ ch ^ dh) >>> 0;
  }
}

/** Whether a sum of 32 bits, one of whose terms is given, went over: 1 or 0. */
function carry(sum: number, term: number): number {
  return sum >>> 0 < term >>> 0 ? 1 : 0;
}

function word(data: Uint8Array, at: number, octets: number): number {
  if (octets === 4) {
    return (
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24)
    );
  }
  let value = 0;
  for (let i = 0; i < octets; i++) value |= (data[at + i] as number) << (8 * i);
  return value;
}
