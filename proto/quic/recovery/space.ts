import { LostPackets } from './lost-packets.ts';
import { GRANULARITY_MS } from './rtt.ts';
import { type SentPacket, SentPackets } from './sent-packets.ts';

/** Packet number spaces (RFC 9000 §12.3). */
export const PacketSpace = { INITIAL: 0, HANDSHAKE: 1, APPLICATION: 2 } as const;
export type PacketSpace = 0 | 1 | 2;

/** A packet is lost when one that was sent this many later was acknowledged (RFC 9002 §6.1.1). */
const PACKET_THRESHOLD = 3;

/** Sent packets of one space and what loss detection knows of them (RFC 9002 §6.1). */
export class SpaceState<Retransmit> {
  readonly space: PacketSpace;
  readonly sent = new SentPackets<Retransmit>();
  readonly lost = new LostPackets<Retransmit>();
  largestAcked = -1;
  /** When an outstanding packet will be lost by time, if nothing else happens. */
  lossTimeMs: number | undefined;
  lastElicitingSentMs = 0;
  /** Highest ECN-CE count that the peer reported. */
  ecnCe = 0;
  /** Packets with lower numbers were sent on an earlier path (RFC 9000 §9.4). */
  #pathFrom = 0;
  /** When the first ack-eliciting packet of the present run of lost packets was sent; an acknowledged one ends the run. */
  #lostFromMs: number | undefined;
  /** The longest run that the last `detectLost` met, in milliseconds from its first packet to its last. */
  lostSpanMs = 0;

  constructor(space: PacketSpace) {
    this.space = space;
  }

  /** Takes out the packets that are lost at `now`, in ascending order, and sets the loss timer (RFC 9002 Appendix A.10). */
  detectLost(now: number, lossDelayMs: number, firstSampleMs: number | undefined): SentPacket<Retransmit>[] {
    const lost: SentPacket<Retransmit>[] = [];
    const sent = this.sent;
    this.lossTimeMs = undefined;
    this.lostSpanMs = 0;
    for (let number = sent.first; number <= this.largestAcked; number++) {
      const packet = sent.get(number);
      if (packet === undefined) {
        if (sent.wasAcked(number)) this.resetLostSpan();
        continue;
      }
      const lossAtMs = packet.sentAtMs + lossDelayMs;
      if (lossAtMs <= now || this.largestAcked >= number + PACKET_THRESHOLD) {
        sent.settle(packet, false);
        this.#extendLostSpan(packet, firstSampleMs);
        lost.push(packet);
      } else if (this.lossTimeMs === undefined || lossAtMs < this.lossTimeMs) {
        // Never in the past, however floats round.
        this.lossTimeMs = Math.max(lossAtMs, now + GRANULARITY_MS / 1000);
      }
    }
    sent.advance();
    this.lost.add(lost, now);
    return lost;
  }

  /** RFC 9002 §7.6.2: both ends are ack-eliciting and were sent after the first RTT sample. */
  #extendLostSpan(packet: SentPacket<Retransmit>, firstSampleMs: number | undefined): void {
    if (!packet.ackEliciting || packet.mtuProbe || !this.ofThisPath(packet)) return;
    if (firstSampleMs === undefined || packet.sentAtMs <= firstSampleMs) return;
    this.#lostFromMs ??= packet.sentAtMs;
    this.lostSpanMs = Math.max(this.lostSpanMs, packet.sentAtMs - this.#lostFromMs);
  }

  resetLostSpan(): void {
    this.#lostFromMs = undefined;
  }

  /** What is sent from here on goes over a new path. */
  beginPath(): void {
    this.#pathFrom = this.sent.largest + 1;
    this.resetLostSpan();
  }

  ofThisPath(packet: SentPacket<Retransmit>): boolean {
    return packet.packetNumber >= this.#pathFrom && !packet.elsewhere;
  }

  takeAll(): SentPacket<Retransmit>[] {
    this.lossTimeMs = undefined;
    this.resetLostSpan();
    this.lost.clear();
    return this.sent.takeAll();
  }

  oldestEliciting(): SentPacket<Retransmit> | undefined {
    for (let number = this.sent.first; number < this.sent.end; number++) {
      const packet = this.sent.get(number);
      if (packet?.ackEliciting && !packet.elsewhere) return packet;
    }
    return undefined;
  }
}
