import type { CongestionControl } from './congestion.ts';
import type { SentPacket } from './sent-packets.ts';
import type { PacketSpace } from './space.ts';

/** An ACK frame as recovery needs it. */
export interface ReceivedAck {
  readonly largestAcknowledged: number;
  /** In milliseconds, decoded with the peer's ack_delay_exponent. */
  readonly ackDelayMs: number;
  /** From the largest down, both ends inclusive. */
  readonly ranges: readonly { readonly smallest: number; readonly largest: number }[];
  /** The frame's ECN-CE count, when it had counts. */
  readonly ecnCe?: number | undefined;
}

export interface RecoveryOptions {
  readonly role: 'client' | 'server';
  readonly maxDatagramOctets: number;
  /** CUBIC when absent. */
  readonly congestionControl?: CongestionControl;
  /** Numbers from 0 up to 1, for BBR; absent: always 0.5. */
  readonly random?: () => number;
}

/** Packets settled by an ACK frame, each list by ascending packet number. */
export interface AckOutcome<Retransmit> {
  readonly acked: readonly SentPacket<Retransmit>[];
  /** Acknowledged after they were called lost: their retransmits are delivered all the same (RFC 9000 §13.3). */
  readonly late: readonly SentPacket<Retransmit>[];
  readonly lost: readonly SentPacket<Retransmit>[];
}

export type DeadlineOutcome<Retransmit> =
  | { readonly type: 'none' }
  | { readonly type: 'lost'; readonly space: PacketSpace; readonly lost: readonly SentPacket<Retransmit>[] }
  /** Send one or two ack-eliciting packets in `space`, past the congestion window (RFC 9002 §6.2.4). */
  | { readonly type: 'probe'; readonly space: PacketSpace };
