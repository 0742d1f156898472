import type { SentPacket } from './sent-packets.ts';

/** Lost packets of a space that are remembered at a time, the newest ones. */
export const MAX_REMEMBERED_PACKETS = 512;
/** Probe timeouts that a lost packet is remembered for (RFC 9000 §13.3 names one as enough for reordering). */
const REMEMBERED_PTOS = 3;

interface LostPacket<Retransmit> {
  readonly packet: SentPacket<Retransmit>;
  readonly lostAtMs: number;
}

/**
 * Packets that were called lost a while ago: an acknowledgement may still come, as they were only late, and then what they carried
 * need not be sent again (RFC 9000 §13.3). Sorted by packet number.
 */
export class LostPackets<Retransmit> {
  readonly #packets: LostPacket<Retransmit>[] = [];

  get size(): number {
    return this.#packets.length;
  }

  add(lost: readonly SentPacket<Retransmit>[], now: number): void {
    const packets = this.#packets;
    for (const packet of lost) {
      // What asked for no acknowledgement carried nothing that is sent again.
      if (!packet.ackEliciting) continue;
      // Nearly always at the end: packets are found lost in ascending order, but for those that a later ACK had jumped over.
      let at = packets.length;
      while (at > 0 && packets[at - 1]!.packet.packetNumber > packet.packetNumber) at--;
      packets.splice(at, 0, { packet, lostAtMs: now });
    }
    if (packets.length > MAX_REMEMBERED_PACKETS) packets.splice(0, packets.length - MAX_REMEMBERED_PACKETS);
  }

  /** Takes out those within the ranges of an ACK frame, which go from the largest down. In ascending order. */
  takeAcked(
    ranges: readonly { readonly smallest: number; readonly largest: number }[],
    now: number,
    ptoMs: number,
  ): readonly SentPacket<Retransmit>[] {
    if (this.#packets.length === 0) return NONE;
    this.#expire(now - REMEMBERED_PTOS * ptoMs);
    let acked: SentPacket<Retransmit>[] | undefined;
    let range = ranges.length - 1;
    let kept = 0;
    for (const lost of this.#packets) {
      const { packetNumber } = lost.packet;
      while (range >= 0 && ranges[range]!.largest < packetNumber) range--;
      if (range >= 0 && ranges[range]!.smallest <= packetNumber) {
        acked ??= [];
        acked.push(lost.packet);
      } else this.#packets[kept++] = lost;
    }
    if (kept < this.#packets.length) this.#packets.length = kept;
    return acked ?? NONE;
  }

  #expire(beforeMs: number): void {
    // The oldest are in front, but for those that were overtaken: they go when they get there.
    let expired = 0;
    while (expired < this.#packets.length && this.#packets[expired]!.lostAtMs < beforeMs) expired++;
    if (expired > 0) this.#packets.splice(0, expired);
  }

  clear(): void {
    this.#packets.length = 0;
  }
}

const NONE: readonly never[] = [];
