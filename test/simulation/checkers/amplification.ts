import { type Address, formatAddress } from '../../../proto/quic/index.ts';
import type { Origin } from '../network.ts';
import { Violation } from '../violation.ts';

const FACTOR = 3;

interface Flow {
  readonly address: string;
  received: number;
  sent: number;
  /** Whom datagrams of the backend reached at this address, and where the count of sent datagrams stood then. */
  reply: { readonly client: string; readonly born: number } | undefined;
}

/**
 * Counts octets between each backend and each client address, on the network. Until a datagram of the backend has reached the
 * client at that address and one that the client sent after it has come back, by whatever address (RFC 9000 §8.2.3), no
 * validation is possible, and the limit holds (RFC 9000 §8.1, §9.3.1). Backends open each other's tokens, so what has proved an
 * address to one of them may prove it to all (RFC 9000 §8.1.2, §8.1.3).
 */
export class AmplificationChecker {
  readonly #flows = new Map<string, Flow>();
  /** Addresses whose client sent after it had heard from a backend there: no other host can have, so they may be validated. */
  readonly #proved = new Set<string>();
  /** Flows whose reply waits to be answered, by backend's life and client. */
  readonly #unproved = new Map<string, Set<Flow>>();

  #flow(life: number, client: Address): Flow {
    const address = formatAddress(client);
    const key = `${life} ${address}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = { address, received: 0, sent: 0, reply: undefined };
      this.#flows.set(key, flow);
    }
    return flow;
  }

  onClientReceives(client: string, outside: Address, origin: Origin, born: number): void {
    if (origin.backendLife === 0) return;
    const flow = this.#flow(origin.backendLife, outside);
    if (flow.reply !== undefined) return;
    flow.reply = { client, born };
    const key = `${origin.backendLife} ${client}`;
    const unproved = this.#unproved.get(key) ?? new Set();
    this.#unproved.set(key, unproved.add(flow));
  }

  onBackendReceives(life: number, client: Address, octets: number, origin: Origin): void {
    this.#flow(life, client).received += octets;
    const unproved = this.#unproved.get(`${life} ${origin.client}`);
    if (unproved === undefined) return;
    for (const flow of unproved) {
      if (origin.born < flow.reply!.born) continue;
      this.#proved.add(flow.address);
      unproved.delete(flow);
    }
  }

  onBackendSends(life: number, client: Address, octets: number): void {
    const flow = this.#flow(life, client);
    flow.sent += octets;
    if (this.#proved.has(flow.address) || flow.sent <= FACTOR * flow.received) return;
    throw new Violation(
      'amplification',
      `${flow.sent} octets went to ${flow.address}, from which ${flow.received} came and which nothing has validated`,
    );
  }
}
