import { createHmac } from 'node:crypto';
import type { Address } from '../net/udp/index.ts';
import { parseIpInto, SipHash, type SipKey, sipKey } from '../proto/wire/index.ts';

/** Slots that clients fall into: with ten thousand backends each has about a hundred, a tenth more or less. */
export const SLOTS = 2 ** 20;
/** What the hash is taken over: 16 octets of address, 2 of port. */
const INPUT_OCTETS = 18;

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
 * backend that leaves moves only its own clients, and without the key a client cannot aim at one backend.
 *
 * A client is hashed once, by SipHash under a key, to one of `SLOTS` slots; each backend then mixes the slot with a secret of its own, and
 * the highest wins. Which backend a slot has can be kept (`NewcomerTable`), so that what it costs does not grow with the backends.
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
    return this.best(this.#slot(client.port), eligible);
  }

  /** The same for an address of 16 octets at `hosts[at]`. */
  pickFor(hosts: Uint8Array, at: number, port: number, eligible: Uint8Array): number {
    return this.best(this.slotFor(hosts, at, port), eligible);
  }

  /** The slot of a client whose address of 16 octets is at `hosts[at]`. */
  slotFor(hosts: Uint8Array, at: number, port: number): number {
    for (let i = 0; i < 16; i++) this.#input[i] = hosts[at + i] as number;
    return this.#slot(port);
  }

  #slot(port: number): number {
    this.#input[16] = port >> 8;
    this.#input[17] = port & 0xff;
    this.#hash.hash(this.#key, this.#input);
    return this.#hash.low & (SLOTS - 1);
  }

  /** The backend of a slot among those marked 1 in `eligible`, or -1: looks at each of them. */
  best(slot: number, eligible: Uint8Array): number {
    let best = -1;
    let bestScore = -1;
    for (let i = 0; i < eligible.length; i++) {
      if (eligible[i] !== 1) continue;
      const score = this.score(slot, i);
      if (score < bestScore || (score === bestScore && !this.winsDraw(i, best))) continue;
      best = i;
      bestScore = score;
    }
    return best;
  }

  /** What a backend has in a slot, 0 to 2^32 - 1. */
  score(slot: number, backend: number): number {
    const secrets = this.#secrets;
    return mix(mix(slot ^ (secrets[backend * 2] as number)) ^ (secrets[backend * 2 + 1] as number)) >>> 0;
  }

  /** Of two with one score, one in 2^32: their secrets decide, since their order in the file must not. */
  winsDraw(backend: number, over: number): boolean {
    return (this.#secrets[backend * 2] as number) > (this.#secrets[over * 2] as number);
  }
}
