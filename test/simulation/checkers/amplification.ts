import { type Address, formatAddress } from '../../../proto/quic/index.ts';
import type { Origin } from '../network.ts';
import { Violation } from '../violation.ts';

const FACTOR = 3;

interface Flow {
  received: number;
  sent: number;
  /** Where the count of sent datagrams stood when one of this backend first reached the client there. */
  repliedAt: number | undefined;
  /** The client sent from there after it had heard from the backend: nobody else can have, so it may be validated. */
  roundTrip: boolean;
}

/**
 * Counts octets between each backend and each client address, on the network. Until a datagram of the backend has reached the
 * client at that address and one that the client sent after it has come back, no validation is possible, and the limit holds
 * (RFC 9000 §8.1, §9.3.1).
 */
export class AmplificationChecker {
  readonly #flows = new Map<string, Flow>();

  #flow(life: number, client: Address): Flow {
    const key = `${life} ${formatAddress(client)}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = { received: 0, sent: 0, repliedAt: undefined, roundTrip: false };
      this.#flows.set(key, flow);
    }
    return flow;
  }

  onClientReceives(outside: Address, origin: Origin, born: number): void {
    if (origin.backendLife === 0) return;
    this.#flow(origin.backendLife, outside).repliedAt ??= born;
  }

  onBackendReceives(life: number, client: Address, octets: number, origin: Origin): void {
    const flow = this.#flow(life, client);
    flow.received += octets;
    if (flow.repliedAt !== undefined && origin.born >= flow.repliedAt) flow.roundTrip = true;
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
