import type { Address } from '../proto/quic/index.ts';
import { networkOf } from '../proto/wire/index.ts';

/** Why a connection without a session was closed. */
export type IdleEnd =
  /** No request came in time. */
  | 'no-request'
  /** Requests were answered, and no session followed. */
  | 'idle'
  /** A newcomer of the same address needed its place. */
  | 'address-full'
  /** A newcomer of any address needed its place. */
  | 'backend-full';

export interface IdleLimits {
  /** From a connection's first packet to its first request, in milliseconds. */
  readonly firstRequestMs: number;
  /** Without a session after that, in milliseconds. */
  readonly idleMs: number;
}

/** A connection as far as it is looked at here, over UDP or TCP. */
interface Connection {
  readonly path: { readonly remote: Address };
}

interface Idle {
  readonly network: string;
  until: number;
  asked: boolean;
}

/**
 * Connections that carry no session, the oldest first. Each has a time to ask for something, and when places run out the oldest
 * gives up its own: connections that do nothing keep no caller out. One entry for each connection at most.
 */
export class IdleConnections<Held extends Connection> {
  readonly #limits: IdleLimits;
  readonly #close: (connection: Held, why: IdleEnd) => void;
  readonly #idle = new Map<Held, Idle>();
  readonly #byNetwork = new Map<string, Set<Held>>();

  /** @param close is to close a connection, which is here no more. */
  constructor(limits: IdleLimits, close: (connection: Held, why: IdleEnd) => void) {
    this.#limits = limits;
    this.#close = close;
  }

  get size(): number {
    return this.#idle.size;
  }

  /** A new connection, which has asked for nothing. */
  add(connection: Held, now: number): void {
    this.#insert(connection, now + this.#limits.firstRequestMs, false);
  }

  /** It has asked for something, and has no session (any more). */
  rest(connection: Held, now: number): void {
    const until = now + this.#limits.idleMs;
    const idle = this.#idle.get(connection);
    if (idle === undefined) this.#insert(connection, until, true);
    else {
      idle.asked = true;
      idle.until = until;
    }
  }

  /** It has a session, or is gone. */
  remove(connection: Held): void {
    const idle = this.#idle.get(connection);
    if (idle === undefined) return;
    this.#idle.delete(connection);
    const ofNetwork = this.#byNetwork.get(idle.network);
    ofNetwork?.delete(connection);
    if (ofNetwork?.size === 0) this.#byNetwork.delete(idle.network);
  }

  #insert(connection: Held, until: number, asked: boolean): void {
    const network = networkOf(connection.path.remote.host);
    this.#idle.set(connection, { network, until, asked });
    let ofNetwork = this.#byNetwork.get(network);
    if (ofNetwork === undefined) {
      ofNetwork = new Set();
      this.#byNetwork.set(network, ofNetwork);
    }
    ofNetwork.add(connection);
  }

  /** Closes the oldest one, of the newcomer's network or of any; false when there is none. */
  makeRoom(limit: 'address' | 'total', remote: Address): boolean {
    const candidates = limit === 'total' ? this.#idle.keys() : this.#byNetwork.get(networkOf(remote.host));
    for (const connection of candidates ?? []) {
      this.#end(connection, limit === 'total' ? 'backend-full' : 'address-full');
      return true;
    }
    return false;
  }

  /** Closes those whose time is over. */
  expire(now: number): void {
    for (const [connection, { until, asked }] of this.#idle)
      if (until <= now) this.#end(connection, asked ? 'idle' : 'no-request');
  }

  #end(connection: Held, why: IdleEnd): void {
    this.remove(connection);
    this.#close(connection, why);
  }
}
