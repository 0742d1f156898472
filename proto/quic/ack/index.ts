import type { Writer } from '../../wire/index.ts';

/** Sorted, disjoint, half-open integer ranges [start, end). */
export declare class RangeSet {
  constructor(maxRanges?: number);
  readonly length: number;
  startAt(index: number): number;
  endAt(index: number): number;
  contains(value: number): boolean;
  add(start: number, end: number): void;
  remove(start: number, end: number): void;
}

export interface AckTrackerOptions {
  /** Initial and Handshake packets are acknowledged at once (RFC 9000 §13.2.1). */
  readonly immediate: boolean;
  readonly maxAckDelayMs?: number;
}

/** One per packet number space. */
export declare class AckTracker {
  constructor(options: AckTrackerOptions);
  /** Whether the packet was received before, or is too old to know: drop it (RFC 9000 §12.3). */
  isDuplicate(packetNumber: number): boolean;
  /** After a packet was authenticated and its frames handled. */
  onPacketReceived(packetNumber: number, ackEliciting: boolean, now: number, ecnCe?: boolean): void;
  readonly largestReceived: number; // -1 when none
  /** An ack-eliciting packet is not yet acknowledged: an ACK may ride along with whatever is sent. */
  readonly pending: boolean;
  /** An ACK must be sent now, even alone. */
  due(now: number): boolean;
  deadline(): number | undefined;
  /**
   * Writes an ACK frame within `writer.remaining` and takes it as sent. Returns the Largest Acknowledged of the frame (keep it as
   * the intent), or -1 when there is nothing to acknowledge or no room.
   */
  writeAck(writer: Writer, now: number, ackDelayExponent: number): number;
  /** The peer acknowledged a packet with our ACK in it. */
  onAckDelivered(largestAcknowledged: number): void;
}
