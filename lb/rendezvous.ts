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

/** Mixes 32 bits so that each depends on all (the finaliser of MurmurHash3). */
function mix(value: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, 0x85eb_ca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2_ae35);
  return x ^ (x >>> 16);
}

/**
 * Keyed rendezvous hash: every forwarder with the same key and backends picks the same backend for a client, a
 * backend that leaves moves only its own clients, and without the key nobody can aim at one backend.
 *
 * A client is hashed once, by SipHash under a key; each backend then mixes that secret value with a secret of its own, which
 * is cheap: packets that anybody can make up must not cost a SipHash for each of a thousand backends.
 */
export class Rendezvous {
  readonly #key: SipKey;
  /** Two words for each backend. */
  readonly #secrets: Int32Array;
  readonly #input = new Uint8Array(INPUT_OCTETS);
  readonly #hash = new SipHash();

  /** `identities` names each backend by what does not change about it. */
  constructor(routingKey: Uint8Array, identities: readonly string[]) {
    const derive = (label: string, input: string) =>
      sipKey(createHmac('sha256', routingKey).update(label).update(input).digest().subarray(0, 16));
    this.#key = derive('rendezvous client', '');
    this.#secrets = new Int32Array(identities.length * 2);
    identities.forEach((identity, i) => {
      const [low, high] = derive('rendezvous backend', identity);
      this.#secrets[i * 2] = low;
      this.#secrets[i * 2 + 1] = high;
    });
  }

  /** Index of the backend for a client among those marked 1 in `eligible`, or -1 when there is none. */
  pick(client: Address, eligible: Uint8Array): number {
    if (!parseIpInto(client.host, this.#input)) this.#input.fill(0);
    return this.#pick(client.port, eligible);
  }

  /** The same for an address of 16 octets at `hosts[at]`. */
  pickFor(hosts: Uint8Array, at: number, port: number, eligible: Uint8Array): number {
    for (let i = 0; i < 16; i++) this.#input[i] = hosts[at + i] as number;
    return this.#pick(port, eligible);
  }

  #pick(port: number, eligible: Uint8Array): number {
    this.#input[16] = port >> 8;
    this.#input[17] = port & 0xff;
    this.#hash.hash(this.#key, this.#input);
    const { low, high } = this.#hash;
    const secrets = this.#secrets;
    let best = -1;
    let bestScore = -1;
    for (let i = 0; i < eligible.length; i++) {
      if (eligible[i] !== 1) continue;
      const own = secrets[i * 2] as number;
      const score = mix(mix(low ^ own) ^ high ^ (secrets[i * 2 + 1] as number)) >>> 0;
      // One in 2^32 is a draw: their secrets decide, since their order in the file must not.
      if (score > bestScore || (score === bestScore && own > (secrets[best * 2] as number))) {
        best = i;
        bestScore = score;
      }
    }
    return best;
  }
}
