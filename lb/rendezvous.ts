import { createHmac } from 'node:crypto';
import { parseIpInto } from '../proto/wire/index.ts';
import type { Address } from './address.ts';

/** A 128-bit SipHash key as four 32-bit words, least significant first. */
export type SipKey = readonly [k0Low: number, k0High: number, k1Low: number, k1High: number];

/** What the hash is taken over: 16 octets of address, 2 of port. */
const INPUT_OCTETS = 18;

/** A key from its 16 octets, in SipHash's little-endian order. */
export function sipKey(octets: Uint8Array): SipKey {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  return [
    view.getUint32(0, true),
    view.getUint32(4, true),
    view.getUint32(8, true),
    view.getUint32(12, true),
  ];
}

/**
 * SipHash-2-4 (Aumasson and Bernstein), on 32-bit halves since a BigInt would allocate for every packet. The state is
 * kept between calls so that hashing allocates nothing; the result is in `high` and `low`.
 */
export class SipHash {
  high = 0;
  low = 0;
  /** v0 to v3, each as its low half and its high half. */
  readonly #v = new Int32Array(8);

  hash(key: SipKey, data: Uint8Array): void {
    const v = this.#v;
    v[0] = key[0] ^ 0x7073_6575;
    v[1] = key[1] ^ 0x736f_6d65;
    v[2] = key[2] ^ 0x6e64_6f6d;
    v[3] = key[3] ^ 0x646f_7261;
    v[4] = key[0] ^ 0x6e65_7261;
    v[5] = key[1] ^ 0x6c79_6765;
    v[6] = key[2] ^ 0x7974_6573;
    v[7] = key[3] ^ 0x7465_6462;
    const whole = data.length - (data.length % 8);
    for (let at = 0; at < whole; at += 8) this.#word(word(data, at, 4), word(data, at + 4, 4));
    const rest = data.length - whole;
    const low = word(data, whole, Math.min(rest, 4));
    const high = rest > 4 ? word(data, whole + 4, rest - 4) : 0;
    this.#word(low, high | (data.length << 24));
    v[4] = (v[4] as number) ^ 0xff;
    for (let i = 0; i < 4; i++) this.#round();
    this.low = ((v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number)) >>> 0;
    this.high = ((v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number)) >>> 0;
  }

  #word(low: number, high: number): void {
    const v = this.#v;
    v[6] = (v[6] as number) ^ low;
    v[7] = (v[7] as number) ^ high;
    this.#round();
    this.#round();
    v[0] = (v[0] as number) ^ low;
    v[1] = (v[1] as number) ^ high;
  }

  #round(): void {
    this.#addInto(0, 2);
    this.#rotateXor(2, 13, 0);
    this.#swap(0);
    this.#addInto(4, 6);
    this.#rotateXor(6, 16, 4);
    this.#addInto(0, 6);
    this.#rotateXor(6, 21, 0);
    this.#addInto(4, 2);
    this.#rotateXor(2, 17, 4);
    this.#swap(4);
  }

  /** v[a] += v[b], of 64 bits. */
  #addInto(a: number, b: number): void {
    const v = this.#v;
    const low = ((v[a] as number) >>> 0) + ((v[b] as number) >>> 0);
    v[a] = low;
    v[a + 1] = (v[a + 1] as number) + (v[b + 1] as number) + (low > 0xffff_ffff ? 1 : 0);
  }

  /** v[a] = rotateLeft(v[a], bits) ^ v[b], for bits below 32. */
  #rotateXor(a: number, bits: number, b: number): void {
    const v = this.#v;
    const low = v[a] as number;
    const high = v[a + 1] as number;
    v[a] = ((low << bits) | (high >>> (32 - bits))) ^ (v[b] as number);
    v[a + 1] = ((high << bits) | (low >>> (32 - bits))) ^ (v[b + 1] as number);
  }

  /** v[a] = rotateLeft(v[a], 32). */
  #swap(a: number): void {
    const v = this.#v;
    const low = v[a] as number;
    v[a] = v[a + 1] as number;
    v[a + 1] = low;
  }
}

function word(data: Uint8Array, at: number, octets: number): number {
  let value = 0;
  for (let i = 0; i < octets; i++) value |= (data[at + i] as number) << (8 * i);
  return value;
}

/**
 * Keyed rendezvous hash: every forwarder with the same key and backends picks the same backend for a client, a
 * backend that leaves moves only its own clients, and without the key nobody can aim at one backend.
 */
export class Rendezvous {
  readonly #keys: readonly SipKey[];
  readonly #input = new Uint8Array(INPUT_OCTETS);
  readonly #hash = new SipHash();

  /** `identities` names each backend by what does not change about it. */
  constructor(routingKey: Uint8Array, identities: readonly string[]) {
    this.#keys = identities.map((identity) => {
      const derived = createHmac('sha256', routingKey).update('rendezvous').update(identity).digest();
      return sipKey(derived.subarray(0, 16));
    });
  }

  /** Index of the backend for a client among those marked 1 in `eligible`, or -1 when there is none. */
  pick(client: Address, eligible: Uint8Array): number {
    if (!parseIpInto(client.host, this.#input)) this.#input.fill(0);
    this.#input[16] = client.port >> 8;
    this.#input[17] = client.port & 0xff;
    let best = -1;
    let bestHigh = -1;
    let bestLow = -1;
    for (let i = 0; i < this.#keys.length; i++) {
      if (eligible[i] !== 1) continue;
      this.#hash.hash(this.#keys[i] as SipKey, this.#input);
      const { high, low } = this.#hash;
      if (high > bestHigh || (high === bestHigh && low > bestLow)) {
        best = i;
        bestHigh = high;
        bestLow = low;
      }
    }
    return best;
  }
}
