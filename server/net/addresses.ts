import type { Address } from '../../proto/quic/index.ts';
import { formatIp, IP_OCTETS } from '../../proto/wire/index.ts';

/** Addresses that are remembered: a power of two. Packets of a call come in bursts, and of many calls in turn. */
const REMEMBERED = 1024;

/** An address whose text was made of its octets: who sends to it need not read the text again. */
export class OctetAddress implements Address {
  readonly host: string;
  readonly port: number;
  /** The octets, four to a number: an array of their own would take six times the memory. */
  readonly #first: number;
  readonly #second: number;
  readonly #third: number;
  readonly #last: number;

  /** Of the 16 octets at `octets[at]`, an IPv4 address as an IPv4-mapped one, whose text is `host`. */
  constructor(host: string, port: number, octets: Uint8Array, at = 0) {
    this.host = host;
    this.port = port;
    this.#first = word(octets, at);
    this.#second = word(octets, at + 4);
    this.#third = word(octets, at + 8);
    this.#last = word(octets, at + 12);
  }

  /** Writes its 16 octets. */
  putOctets(out: Uint8Array, at: number): void {
    putWord(out, at, this.#first);
    putWord(out, at + 4, this.#second);
    putWord(out, at + 8, this.#third);
    putWord(out, at + 12, this.#last);
  }
}

function word(octets: Uint8Array, at: number): number {
  return (
    ((octets[at] as number) << 24) |
    ((octets[at + 1] as number) << 16) |
    ((octets[at + 2] as number) << 8) |
    (octets[at + 3] as number)
  );
}

function putWord(out: Uint8Array, at: number, word: number): void {
  out[at] = word >>> 24;
  out[at + 1] = (word >>> 16) & 0xff;
  out[at + 2] = (word >>> 8) & 0xff;
  out[at + 3] = word & 0xff;
}

/** Makes addresses of octets; those that come again are the same objects, so that a packet costs no text. */
export class AddressReader {
  readonly #addresses = new Array<OctetAddress | undefined>(REMEMBERED).fill(undefined);
  readonly #octets = new Uint8Array(REMEMBERED * IP_OCTETS);

  /** The address whose 16 octets are at `hosts[at]`. */
  read(hosts: Uint8Array, at: number, port: number): OctetAddress {
    // Of an address that many share the port differs, behind one port the last octets.
    const mixed = port ^ ((hosts[at + 15] as number) << 3) ^ ((hosts[at + 14] as number) << 7);
    const slot = mixed & (REMEMBERED - 1);
    const known = this.#addresses[slot];
    if (known !== undefined && known.port === port && this.#holds(slot * IP_OCTETS, hosts, at)) return known;
    const address = new OctetAddress(formatIp(hosts, at), port, hosts, at);
    this.#addresses[slot] = address;
    for (let i = 0; i < IP_OCTETS; i++) this.#octets[slot * IP_OCTETS + i] = hosts[at + i] as number;
    return address;
  }

  #holds(slotAt: number, hosts: Uint8Array, at: number): boolean {
    for (let i = IP_OCTETS - 1; i >= 0; i--) if (this.#octets[slotAt + i] !== hosts[at + i]) return false;
    return true;
  }
}
