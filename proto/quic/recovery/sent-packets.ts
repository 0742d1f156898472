import { TransportError, TransportErrorCode } from '../errors.ts';
import type { DeliverySnapshot } from './delivery-snapshot.ts';

/** A packet that was sent. `Retransmit` is whatever the connection wants back when it is acknowledged or lost. */
export interface SentPacket<Retransmit> {
  readonly packetNumber: number;
  readonly sentAtMs: number;
  /** Octets of the QUIC packet, header and tag included. */
  readonly octets: number;
  readonly ackEliciting: boolean;
  /** Ack-eliciting or with PADDING: it counts against the congestion window (RFC 9002 §2). */
  readonly inFlight: boolean;
  /** A probe of the path's MTU: its loss says nothing of congestion (RFC 9000 §14.4). */
  readonly mtuProbe?: boolean;
  /** Sent on a path that was not in use: it tells nothing of the one that is (RFC 9000 §9.4), and is not in flight there. */
  readonly elsewhere?: boolean;
  readonly retransmits: readonly Retransmit[];
  /** What congestion control notes of it. */
  delivery?: DeliverySnapshot;
}

/** A slot of a packet that was acknowledged, kept until the slots before it are settled. */
const ACKED = 1;
/** A slot of a packet that was lost or taken, or of a number that was skipped. */
const GONE = 0;
type Slot<Retransmit> = SentPacket<Retransmit> | typeof ACKED | typeof GONE;

/**
 * ACK-only packets that are kept while nothing of ours is acknowledged, in packets: a peer that only sends may never acknowledge
 * them (RFC 9000 §13.2.4).
 */
const MAX_UNSETTLED_ACK_ONLY = 512;
/**
 * Packets from the oldest outstanding one to the newest, beyond any congestion window. A peer that lets one packet wait while it
 * makes us send this many more does not acknowledge on purpose (RFC 9000 §13.2.1).
 */
export const MAX_SPAN_PACKETS = 2 ** 16;
/** Settled slots before the oldest outstanding packet that wait for one common removal. */
const COMPACT_SLOTS = 256;
/** Settled slots of a list with no others that wait for it to be emptied: an array is made anew after that. */
const EMPTIED_SLOTS = 16;

/** Packets of one packet number space that are neither acknowledged nor lost, by number: every step is O(1). */
export class SentPackets<Retransmit> {
  #slots: Slot<Retransmit>[] = [];
  /** Packet number of slot 0. */
  #base = 0;
  /** Index of the first slot that may be outstanding. */
  #head = 0;
  /** Outstanding packets. */
  size = 0;
  /** Those of them that asked for an acknowledgement on the path in use. */
  ackElicitingCount = 0;
  /** Octets outstanding on paths that were not in use. */
  elsewhereOctets = 0;
  #ackOnlyCount = 0;
  /** No ACK-only packet below this number is outstanding. */
  #ackOnlyFrom = 0;
  /** Largest packet number sent, -1 before the first. */
  largest = -1;

  /** Lowest number that may be outstanding. */
  get first(): number {
    return this.#base + this.#head;
  }

  /** One past the largest number. */
  get end(): number {
    return this.#base + this.#slots.length;
  }

  /** Throws `TransportError` PROTOCOL_VIOLATION when the oldest outstanding packet is too far behind. */
  add(packet: SentPacket<Retransmit>): void {
    if (this.#slots.length - this.#head >= MAX_SPAN_PACKETS)
      throw new TransportError(
        TransportErrorCode.PROTOCOL_VIOLATION,
        `packet ${this.first} is not acknowledged while ${MAX_SPAN_PACKETS} later ones were sent`,
      );
    if (this.#slots.length === 0) this.#base = packet.packetNumber;
    while (this.end < packet.packetNumber) this.#slots.push(GONE);
    this.#slots.push(packet);
    this.largest = packet.packetNumber;
    this.size++;
    if (packet.elsewhere) this.elsewhereOctets += packet.octets;
    if (packet.ackEliciting && !packet.elsewhere) this.ackElicitingCount++;
    else if (!packet.inFlight && ++this.#ackOnlyCount > MAX_UNSETTLED_ACK_ONLY) this.#dropOldestAckOnly();
  }

  /** The packet, when it is outstanding. */
  get(packetNumber: number): SentPacket<Retransmit> | undefined {
    const slot = this.#slots[packetNumber - this.#base];
    return slot === undefined || slot === ACKED || slot === GONE ? undefined : slot;
  }

  /** Whether a packet at or above `first`, sent on the path in use, was acknowledged. */
  wasAcked(packetNumber: number): boolean {
    return this.#slots[packetNumber - this.#base] === ACKED;
  }

  /** Settles an outstanding packet. */
  settle(packet: SentPacket<Retransmit>, acked: boolean): void {
    this.#slots[packet.packetNumber - this.#base] = acked && !packet.elsewhere ? ACKED : GONE;
    this.size--;
    if (packet.elsewhere) this.elsewhereOctets -= packet.octets;
    if (packet.ackEliciting && !packet.elsewhere) this.ackElicitingCount--;
    else if (!packet.inFlight) this.#ackOnlyCount--;
  }

  /** Moves `first` up to the oldest outstanding packet. Call after settling. */
  advance(): void {
    const slots = this.#slots;
    while (this.#head < slots.length && typeof slots[this.#head] === 'number') this.#head++;
    if (this.#head === slots.length && this.#head >= EMPTIED_SLOTS) {
      this.#base += slots.length;
      slots.length = 0;
      this.#head = 0;
    } else if (this.#head >= COMPACT_SLOTS && this.#head * 2 >= slots.length) {
      slots.splice(0, this.#head);
      this.#base += this.#head;
      this.#head = 0;
    }
  }

  /** Removes and returns all that is outstanding, oldest first. */
  takeAll(): SentPacket<Retransmit>[] {
    const taken: SentPacket<Retransmit>[] = [];
    for (let i = this.#head; i < this.#slots.length; i++) {
      const slot = this.#slots[i]!;
      if (typeof slot === 'object') taken.push(slot);
    }
    this.#base += this.#slots.length;
    this.#slots = [];
    this.#head = 0;
    this.size = 0;
    this.ackElicitingCount = 0;
    this.elsewhereOctets = 0;
    this.#ackOnlyCount = 0;
    return taken;
  }

  /** Forgets the oldest ACK-only packet: one that asked for an ACK before it may wait without end. */
  #dropOldestAckOnly(): void {
    for (let number = Math.max(this.#ackOnlyFrom, this.first); number < this.end; number++) {
      const packet = this.get(number);
      if (packet === undefined || packet.inFlight) continue;
      this.#ackOnlyFrom = number + 1;
      this.settle(packet, false);
      this.advance();
      return;
    }
  }
}
