import { networkOf } from '../../proto/wire/index.ts';
import type { Upstream } from '../realtime/index.ts';

/** Upstreams of one client address (an IPv6 /64 is one) that may be open before their hello. */
const MAX_EARLY_PER_ADDRESS = 8;
/** Those of all addresses. */
const MAX_EARLY_UPSTREAMS = 64;

/** Why a session has to say hello before its upstream is dialled. */
export type NotEarly =
  /** Its address has too many that have not said hello. */
  | 'address'
  /** All addresses together have. */
  | 'total'
  /** Its caller may begin no call now. */
  | 'caller';

/**
 * Counts upstreams that are dialled while their session has not said hello: they save a call a round trip, and cost a socket, a TLS
 * handshake and a session of the API that a client which never says hello has for nothing. Beyond the bounds a call begins as
 * well, with its upstream dialled at the hello.
 */
export class EarlyUpstreams {
  readonly #perAddress = new Map<string, number>();
  readonly #maxPerAddress: number;
  readonly #max: number;
  #count = 0;

  constructor(maxPerAddress = MAX_EARLY_PER_ADDRESS, max = MAX_EARLY_UPSTREAMS) {
    this.#maxPerAddress = maxPerAddress;
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** Takes a place for a client of this host, or says why there is none. The place is given back once, by what is returned. */
  take(host: string): (() => void) | 'address' | 'total' {
    const key = networkOf(host);
    const fromAddress = this.#perAddress.get(key) ?? 0;
    if (fromAddress >= this.#maxPerAddress) return 'address';
    if (this.#count >= this.#max) return 'total';
    this.#change(key, 1);
    let held = true;
    return () => {
      if (held) this.#change(key, -1);
      held = false;
    };
  }

  #change(key: string, by: 1 | -1): void {
    this.#count += by;
    const fromAddress = (this.#perAddress.get(key) ?? 0) + by;
    if (fromAddress > 0) this.#perAddress.set(key, fromAddress);
    else this.#perAddress.delete(key);
  }
}

/** The upstream of a session that has not said hello. */
export class EarlyUpstream {
  #upstream: Upstream | undefined;
  #giveBack: (() => void) | undefined;

  /** Dials where there is a place for it; returns why it did not. Throws what `dial` throws. */
  dial(host: string, dial: () => Upstream, places: EarlyUpstreams | undefined): NotEarly | undefined {
    const place = places?.take(host);
    if (typeof place === 'string') return place;
    this.#giveBack = place;
    this.#upstream = dial();
    return undefined;
  }

  /** The one that was dialled, or else one that is dialled now: the hello came, so it takes no place. */
  open(dial: () => Upstream): Upstream {
    this.#upstream ??= dial();
    return this.#upstream;
  }

  /** The hello came: it is the call's from now on. */
  take(): Upstream | undefined {
    const upstream = this.#upstream;
    this.#upstream = undefined;
    this.#giveBack?.();
    return upstream;
  }

  /** No call needs it. Returns whether there was one. */
  close(): boolean {
    const upstream = this.take();
    upstream?.close();
    return upstream !== undefined;
  }
}
