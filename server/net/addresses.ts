import type { Address } from '../../proto/quic/index.ts';
import { formatIp, IP_OCTETS } from '../../proto/wire/index.ts';

/** Addresses that are remembered: a power of two. Packets of a call come in bursts, and of many calls in turn. */
const REMEMBERED = 1024;

/** An address whose text was made of its octets: who sends to it need not read the text again. */
export class OctetAddress implements Address {
  readonly host: string;
  readonly port: number;
  readonly #octets: Uint8Array;

  constructor(host: string, port: number, octets: Uint8Array) {
    this.host = host;
    this.port = port;
    this.#octets = octets;
  }

  /** 16 octets, an IPv4 address as an IPv4-mapped one. Not to be written to. */
  get octets(): Uint8Array {
    return this.#octets;
  }
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
    const address = new OctetAddress(formatIp(hosts, at), port, hosts.slice(at, at + IP_OCTETS));
    this.#addresses[slot] = address;
    for (let i = 0; i < IP_OCTETS; i++) this.#octets[slot * IP_OCTETS + i] = hosts[at + i] as number;
    return address;
  }

  #holds(slotAt: number, hosts: Uint8Array, at: number): boolean {
    for (let i = IP_OCTETS - 1; i >= 0; i--) if (this.#octets[slotAt + i] !== hosts[at + i]) return false;
    return true;
  }
}
