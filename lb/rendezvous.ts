import { createHmac } from 'node:crypto';
import type { Address } from '../net/udp/index.ts';
import { parseIpInto, SipHash, type SipKey, sipKey } from '../proto/wire/index.ts';

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
 * A client is hashed once, by SipHash under a key; each backend then mixes that secret value with a secret of its own, which
 * is cheap: packets that anyone can make up must not cost a SipHash for each of a thousand backends.
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
