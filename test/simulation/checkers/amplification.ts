import { type Address, formatAddress } from '../../../proto/quic/index.ts';
import type { Origin } from '../network.ts';
import { Violation } from '../violation.ts';

const FACTOR = 3;

interface Flow {
  received: number;
  sent: number;
  /** Whom datagrams of the backend reached at this address, and where the count of sent datagrams stood then. */
  reply: { readonly client: string; readonly born: number } | undefined;
  /** That client sent after it had heard from the backend there: no other host can have, so the address may be validated. */
  roundTrip: boolean;
}

/**
 * Counts octets between each backend and each client address, on the network. Until a datagram of the backend has reached the
 * client at that address and one that the client sent after it has come back, by whatever address (RFC 9000 §8.2.3), no
 * validation is possible, and the limit holds (RFC 9000 §8.1, §9.3.1).
 */
export class AmplificationChecker {
  readonly #flows = new Map<string, Flow>();
  /** Flows whose reply waits to be answered, by backend's life and client. */
  readonly #unproved = new Map<string, Set<Flow>>();

  #flow(life: number, client: Address): Flow {
    const key = `${life} ${formatAddress(client)}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = { received: 0, sent: 0, reply: undefined, roundTrip: false };
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
      flow.roundTrip = true;
      unproved.delete(flow);
    }
  }

  onBackendSends(life: number, client: Address, octets: number): void {
    const flow = this.#flow(life, client);
    flow.sent += octets;
    if (flow.roundTrip || flow.sent <= FACTOR * flow.received) return;
    throw new Violation(
      'amplification',
      `${flow.sent} octets went to ${formatAddress(client)}, from which ${flow.received} came and which nothing has validated`,
    );
  }
}
