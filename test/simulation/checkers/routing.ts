import { HeaderForm, PacketHead } from '../../../proto/invariants/index.ts';
import { toHex } from '../../../proto/wire/index.ts';
import { Violation } from '../violation.ts';

interface Owner {
  readonly backend: string;
  readonly life: number;
}

/**
 * Remembers who issued which CID, without decoding any, and holds the forwarders to it: a packet with an issued CID reaches
 * its issuer, unless that one was rightly taken for dead.
 */
export class RoutingChecker {
  readonly #owners = new Map<string, Owner>();
  readonly #head = new PacketHead();
  /** When a backend last was not in perfect reach of the forwarders: what makes it fair to call it dead. */
  readonly #lastTrouble = new Map<string, number>();
  #cidOctets = 0;

  onIssued(connectionId: Uint8Array, backend: string, life: number): void {
    this.#cidOctets = connectionId.length;
    this.#owners.set(toHex(connectionId), { backend, life });
  }

  noteTrouble(backend: string, until: number): void {
    this.#lastTrouble.set(backend, Math.max(until, this.#lastTrouble.get(backend) ?? 0));
  }

  /** The owner of the CID that a packet from a client was sent to. */
  ownerOf(data: Uint8Array): Owner | undefined {
    const form = this.#head.parse(data);
    if (form < 0) return undefined;
    const { dcidOffset, dcidLength } = this.#head;
    const octets = form === HeaderForm.short ? Math.min(dcidLength, this.#cidOctets) : dcidLength;
    return this.#owners.get(toHex(data.subarray(dcidOffset, dcidOffset + octets)));
  }

  /** A packet of a client came to `backend` through a forwarder. */
  onArrival(data: Uint8Array, backend: string, now: number, deadAfterMs: number): void {
    const owner = this.ownerOf(data);
    if (owner === undefined || owner.backend === backend) return;
    const trouble = this.#lastTrouble.get(owner.backend);
    if (trouble !== undefined && now - trouble <= deadAfterMs) return;
    throw new Violation(
      'routing',
      `a packet for ${owner.backend}, which was in reach all the time, came to ${backend}`,
    );
  }
}
