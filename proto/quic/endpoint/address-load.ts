import { networkOf } from '../../wire/index.ts';

/** Connections of one network: those whose client has proved its address, and those that may be of a forged one. */
export interface NetworkLoad {
  readonly proven: number;
  readonly unproven: number;
}

const NONE: NetworkLoad = { proven: 0, unproven: 0 };

/** A connection's place in the counts. It stays with the network that it began in, wherever the client moves. */
export interface Counted {
  readonly network: string;
  proven: boolean;
}

/**
 * Counts connections by the network they come from: an IPv4 address, or the /64 of an IPv6 address. As large as there are
 * connections, since a network without any is forgotten.
 */
export class AddressLoad {
  readonly #networks = new Map<string, { proven: number; unproven: number }>();

  of(network: string): NetworkLoad {
    return this.#networks.get(network) ?? NONE;
  }

  add(host: string, proven: boolean): Counted {
    const network = networkOf(host);
    let load = this.#networks.get(network);
    if (load === undefined) {
      load = { proven: 0, unproven: 0 };
      this.#networks.set(network, load);
    }
    load[proven ? 'proven' : 'unproven'] += 1;
    return { network, proven };
  }

  /** The handshake is done: the client receives what is sent to its address (RFC 9000 §8.1). */
  prove(counted: Counted): void {
    const load = this.#networks.get(counted.network);
    if (counted.proven || load === undefined) return;
    counted.proven = true;
    load.unproven -= 1;
    load.proven += 1;
  }

  remove(counted: Counted): void {
    const load = this.#networks.get(counted.network);
    if (load === undefined) return;
    load[counted.proven ? 'proven' : 'unproven'] -= 1;
    if (load.proven + load.unproven === 0) this.#networks.delete(counted.network);
  }
}
