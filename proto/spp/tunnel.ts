import { SipHash, type SipKey } from '../wire/index.ts';
import { decodeSpp, encodeSpp, SPP_HEADER_OCTETS, type SppHeader, startsWithSpp } from './spp.ts';

/** Octets of the tag that stands behind a header. */
export const TAG_OCTETS = 8;
/** What the tunnel adds to a datagram, at most: SPP and its tag. */
export const TUNNEL_OVERHEAD_OCTETS = SPP_HEADER_OCTETS + TAG_OCTETS;

/**
 * Whether packets in the tunnel carry a tag. `require`: they do, and those that come without are dropped. `accept`: they do,
 * and those without are taken. `off`: they do not, and both are taken.
 */
export type TunnelTag = 'require' | 'accept' | 'off';

/** Keys of the tags, one for each direction: what a forwarder sent cannot be sent back to it as a backend's. */
export interface TunnelKeys {
  readonly toBackend: SipKey;
  readonly toForwarder: SipKey;
}

/** Why a datagram in the tunnel is not taken, in place of where its payload begins. */
export const TUNNEL_FAULT = { notSpp: -1, badTag: -2 } as const;

/**
 * One end of the tunnel between forwarder and backend. Each datagram is an SPP header, a tag of 8 octets and the payload. The tag
 * is SipHash-2-4 of the header under a key of the cluster: who does not have the key cannot name a client, and so cannot have
 * a forwarder send to an address of its choice, nor speak to a backend for a client that it is not. It covers the header only, so
 * that its cost is the same for every packet; what follows is protected by QUIC. Who can read the tunnel can send a header
 * and its tag again, for that client and no other.
 */
export class TunnelEnd {
  readonly #sends: boolean;
  readonly #requires: boolean;
  readonly #sendKey: SipKey;
  readonly #receiveKey: SipKey;
  readonly #hash = new SipHash();

  constructor(role: 'forwarder' | 'backend', tag: TunnelTag, keys: TunnelKeys) {
    this.#sends = tag !== 'off';
    this.#requires = tag === 'require';
    const { toBackend, toForwarder } = keys;
    this.#sendKey = role === 'forwarder' ? toBackend : toForwarder;
    this.#receiveKey = role === 'forwarder' ? toForwarder : toBackend;
  }

  /** Octets before the payload of what is sent from here. */
  get prefixOctets(): number {
    return this.#sends ? TUNNEL_OVERHEAD_OCTETS : SPP_HEADER_OCTETS;
  }

  /** Puts the tag behind the header at `data[at]`, when tags are sent. */
  putTag(data: Uint8Array, at: number): void {
    if (!this.#sends) return;
    const hash = this.#hash;
    hash.hash(this.#sendKey, data, at, at + SPP_HEADER_OCTETS);
    putWord(data, at + SPP_HEADER_OCTETS, hash.low);
    putWord(data, at + SPP_HEADER_OCTETS + 4, hash.high);
  }

  /** Where the payload of the datagram `data[from..to)` begins, or a `TUNNEL_FAULT`. */
  payloadAt(data: Uint8Array, from: number, to: number): number {
    if (!startsWithSpp(data, from, to)) return TUNNEL_FAULT.notSpp;
    const tagAt = from + SPP_HEADER_OCTETS;
    if (to - tagAt >= TAG_OCTETS) {
      const hash = this.#hash;
      hash.hash(this.#receiveKey, data, from, tagAt);
      // All 64 bits at once: how long it takes tells nothing of how much was right.
      const difference = (hash.low ^ word(data, tagAt)) | (hash.high ^ word(data, tagAt + 4));
      if (difference === 0) return tagAt + TAG_OCTETS;
    }
    return this.#requires ? TUNNEL_FAULT.badTag : tagAt;
  }

  /** A whole datagram, where speed does not matter. Throws `TypeError` when an address or a port of `header` is none. */
  seal(header: SppHeader, payload: Uint8Array): Uint8Array {
    const { prefixOctets } = this;
    const datagram = encodeSpp(header, new Uint8Array(prefixOctets - SPP_HEADER_OCTETS + payload.length));
    datagram.set(payload, prefixOctets);
    this.putTag(datagram, 0);
    return datagram;
  }

  /** Reads a whole datagram; `payload` is a view into it. `undefined` for what is not taken. */
  open(datagram: Uint8Array): { readonly header: SppHeader; readonly payload: Uint8Array } | undefined {
    const at = this.payloadAt(datagram, 0, datagram.length);
    const header = at < 0 ? undefined : decodeSpp(datagram)?.header;
    return header && { header, payload: datagram.subarray(at) };
  }
}

function putWord(data: Uint8Array, at: number, value: number): void {
  data[at] = value;
  data[at + 1] = value >>> 8;
  data[at + 2] = value >>> 16;
  data[at + 3] = value >>> 24;
}

function word(data: Uint8Array, at: number): number {
  return (
    (data[at] as number) |
    ((data[at + 1] as number) << 8) |
    ((data[at + 2] as number) << 16) |
    ((data[at + 3] as number) << 24)
  );
}
