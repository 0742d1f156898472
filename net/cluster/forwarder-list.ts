import { isHostName, isInNetwork, type Network, parseNetwork } from '../../proto/quic-lb/index.ts';
import { formatIp, parseIp } from '../../proto/wire/index.ts';

/** Addresses that were judged and are kept: packets come from few, and forged ones must not fill memory. */
const REMEMBERED = 1024;

/** Which addresses are forwarders': those of a list of addresses, ranges and names. */
export class ForwarderList {
  readonly #hosts = new Set<string>();
  readonly #networks: readonly Network[];
  readonly #judged = new Map<string, boolean>();

  /** `addressesOf`: what a name stands for now. */
  constructor(listed: readonly string[], addressesOf: (name: string) => readonly string[]) {
    for (const host of listed.flatMap((text) => (isHostName(text) ? addressesOf(text) : text))) {
      const octets = parseIp(host);
      if (octets !== undefined) this.#hosts.add(formatIp(octets));
    }
    this.#networks = listed.flatMap((text) => parseNetwork(text) ?? []);
  }

  /** Addresses whose judgement is kept. */
  get remembered(): number {
    return this.#judged.size;
  }

  /** Whether packets of this IP address are taken. */
  has(host: string): boolean {
    if (this.#hosts.has(host)) return true;
    if (this.#networks.length === 0) return false;
    const known = this.#judged.get(host);
    if (known !== undefined) return known;
    const octets = parseIp(host);
    const isIn = octets !== undefined && this.#networks.some((network) => isInNetwork(octets, network));
    if (this.#judged.size >= REMEMBERED) this.#judged.clear();
    this.#judged.set(host, isIn);
    return isIn;
  }
}
