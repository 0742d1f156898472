import { varintLength, type Writer } from '../../wire/index.ts';
import { RangeSet } from './range-set.ts';

/** Ranges kept to be acknowledged, and so the most an ACK frame carries; the lowest go first (RFC 9000 §13.2.3). */
const MAX_ACK_RANGES = 32;
/** Ranges kept to know duplicates; a packet below what is kept counts as one (RFC 9000 §12.3). */
const MAX_SEEN_RANGES = 256;
/** Ack-eliciting packets that may wait for their ACK, unless the peer asks otherwise (RFC 9000 §13.2.2). */
const DEFAULT_THRESHOLD = 1;
/** Packets this far apart, in ms, are no flow whose sender waits for ACKs to go on: one of voice comes each 20 ms. */
const SPARSE_MS = 10;
/** How long the ACK for a sparse packet may wait for a packet of ours to go with, in ms, beyond what the threshold says. */
const COMPANY_MS = 5;
const ACK_FRAME = 0x02;

export interface AckTrackerOptions {
  /** Initial and Handshake packets are acknowledged at once (RFC 9000 §13.2.1). */
  readonly immediate: boolean;
  /** The delay that our transport parameters promise, in milliseconds; 25 when absent. */
  readonly maxAckDelayMs?: number;
}

/** How the peer wants to be acknowledged (an ACK_FREQUENCY frame). */
export interface AckPolicy {
  /** Of the frame: one that is not newer than the newest changes nothing. */
  readonly sequence: number;
  /** Ack-eliciting packets that may wait. */
  readonly threshold: number;
  readonly maxAckDelayMs: number;
  /** By how many numbers a packet may be missing before an ACK says so at once; 0: none does. */
  readonly reorderingThreshold: number;
}

/** What was received in one packet number space: duplicates, and when and what to acknowledge (RFC 9000 §13.2). */
export class AckTracker {
  readonly #immediate: boolean;
  #maxAckDelayMs: number;
  #threshold = DEFAULT_THRESHOLD;
  #reorderingThreshold = 1;
  /** Of the newest policy that the peer asked for, -1 before the first. */
  #policySequence = -1;
  /** All that was received, for duplicates. */
  readonly #seen = new RangeSet();
  /** Below this nothing is known any more. */
  #floor = 0;
  /** What is still to be named in ACK frames. */
  readonly #unreported = new RangeSet();
  #largest = -1;
  #largestAtMs = 0;
  #largestEliciting = -1;
  #elicitingAtMs = Number.NEGATIVE_INFINITY;
  /** Largest Acknowledged of the last ACK that was written. */
  #largestWritten = -1;
  #waiting = 0;
  #ackNow = false;
  #deadlineMs: number | undefined;
  /** The last packet that was sent asked for an acknowledgement itself: another one, with room for an ACK, may soon follow. */
  hasCompany = false;

  constructor(options: AckTrackerOptions) {
    this.#immediate = options.immediate;
    this.#maxAckDelayMs = options.maxAckDelayMs ?? 25;
  }

  /** Largest packet number received, -1 before the first. */
  get largestReceived(): number {
    return this.#largest;
  }

  /** The peer asks to be acknowledged in this way from now on. */
  setPolicy({ sequence, threshold, maxAckDelayMs, reorderingThreshold }: AckPolicy): void {
    if (sequence <= this.#policySequence) return;
    this.#policySequence = sequence;
    this.#threshold = threshold;
    this.#maxAckDelayMs = maxAckDelayMs;
    this.#reorderingThreshold = reorderingThreshold;
  }

  /** The peer asks for an ACK at once, in the packet that is being handled. */
  requestNow(): void {
    this.#ackNow = true;
  }

  /** An ack-eliciting packet is not acknowledged yet: an ACK may ride along with whatever is sent. */
  get pending(): boolean {
    return this.#waiting > 0;
  }

  /** How many ranges the next ACK frame has: many of them, and nothing of ours acknowledged, call for a PING (RFC 9000 §13.2.4). */
  get rangeCount(): number {
    return this.#unreported.length;
  }

  /** Whether the packet was received before, or is too old to know: drop it (RFC 9000 §12.3). */
  isDuplicate(packetNumber: number): boolean {
    if (packetNumber > this.#largest) return false;
    return packetNumber < this.#floor || this.#seen.contains(packetNumber);
  }

  /**
   * Takes note of a packet that was authenticated, was no duplicate and whose frames were handled. `now` is when it was
   * received, in milliseconds; `ecnCe` says that it came with the ECN-CE mark.
   */
  onPacketReceived(packetNumber: number, ackEliciting: boolean, now: number, ecnCe = false): void {
    this.#seen.add(packetNumber, packetNumber + 1);
    if (this.#seen.length > MAX_SEEN_RANGES) {
      this.#floor = this.#seen.endAt(0);
      this.#seen.dropLowest();
    }
    this.#unreported.add(packetNumber, packetNumber + 1);
    if (this.#unreported.length > MAX_ACK_RANGES) this.#unreported.dropLowest();
    if (ackEliciting) this.#onAckEliciting(packetNumber, now, ecnCe);
    if (packetNumber > this.#largest) {
      this.#largest = packetNumber;
      this.#largestAtMs = now;
    }
  }

  #onAckEliciting(packetNumber: number, now: number, ecnCe: boolean): void {
    this.#waiting++;
    const sinceLastMs = now - this.#elicitingAtMs;
    this.#elicitingAtMs = now;
    if (this.#immediate || ecnCe || this.#isReordered(packetNumber)) this.#ackNow = true;
    this.#largestEliciting = Math.max(this.#largestEliciting, packetNumber);
    this.#deadlineMs ??= now + this.#maxAckDelayMs;
    if (sinceLastMs < SPARSE_MS) this.#ackNow ||= this.#waiting > this.#threshold;
    else this.#onSparse(now, sinceLastMs);
    if (this.#ackNow) this.#deadlineMs = Math.min(this.#deadlineMs, now);
  }

  /**
   * A packet of voice rather than of a bulk flow: its sender waits for nothing. RFC 9000 §13.2.2 would have every second one acknowledged
   * at once; the ACK waits a little longer, and never beyond max_ack_delay, while packets of ours go the other way that can carry it.
   */
  #onSparse(now: number, sinceLastMs: number): void {
    const isOver = this.#waiting > this.#threshold;
    if (this.hasCompany && !isOver) return;
    if (this.hasCompany && this.#policySequence < 0 && this.#waiting === this.#threshold + 1) {
      this.#deadlineMs = Math.min(this.#deadlineMs!, now + COMPANY_MS);
      return;
    }
    // Where the next one will not come in time either, to wait for the deadline would only cost a wake-up.
    this.#ackNow ||= isOver || (this.#waiting > 1 && now + sinceLastMs > this.#deadlineMs!);
  }

  /**
   * Whether the packet says of another that it is late or missing: RFC 9000 §13.2.1 has that acknowledged at once, unless the peer
   * asks to be told only of those that it will call lost.
   */
  #isReordered(packetNumber: number): boolean {
    const threshold = this.#reorderingThreshold;
    if (threshold === 0) return false;
    if (threshold === 1) return packetNumber < this.#largestEliciting || this.#isGapBefore(packetNumber);
    const largest = Math.max(this.#largestEliciting, packetNumber);
    const missing = this.#seen.firstMissing(Math.max(this.#floor, this.#largestWritten - threshold + 1));
    return missing < largest && largest - missing >= threshold;
  }

  /** Whether a packet between the largest ack-eliciting one and this one is missing. */
  #isGapBefore(packetNumber: number): boolean {
    if (this.#largestEliciting < 0) return false;
    const top = this.#seen.length - 1;
    // The packet itself was added already, so the top range holds it.
    return packetNumber === this.#seen.endAt(top) - 1 && this.#seen.startAt(top) > this.#largestEliciting;
  }

  /** Whether an ACK must be sent now, even alone. */
  due(now: number): boolean {
    return this.#ackNow || (this.#deadlineMs !== undefined && now >= this.#deadlineMs);
  }

  /** When an ACK must be sent, in milliseconds; `undefined` while none is owed. */
  deadline(): number | undefined {
    return this.#deadlineMs;
  }

  /**
   * Writes an ACK frame within `writer.remaining` and takes it as sent. The highest ranges come first; what does not fit is
   * left out. Returns the frame's Largest Acknowledged, to be kept with the packet, or -1 when there is
   * nothing to acknowledge or no room for even one range.
   */
  writeAck(writer: Writer, now: number, ackDelayExponent: number): number {
    const ranges = this.#unreported;
    if (ranges.isEmpty) return -1;
    const top = ranges.length - 1;
    const largest = ranges.endAt(top) - 1;
    const first = largest - ranges.startAt(top);
    const delayMs = largest === this.#largest && !this.#immediate ? Math.max(0, now - this.#largestAtMs) : 0;
    const delay = Math.floor((delayMs * 1000) / (1 << ackDelayExponent));
    // One octet is enough for the count: MAX_ACK_RANGES is below 64.
    let octets = 2 + varintLength(largest) + varintLength(delay) + varintLength(first);
    if (octets > writer.remaining) return -1;
    let lowest = top;
    while (lowest > 0) {
      const gap = ranges.startAt(lowest) - ranges.endAt(lowest - 1) - 1;
      const length = ranges.endAt(lowest - 1) - ranges.startAt(lowest - 1) - 1;
      octets += varintLength(gap) + varintLength(length);
      if (octets > writer.remaining) break;
      lowest--;
    }
    writer
      .u8(ACK_FRAME)
      .varint(largest)
      .varint(delay)
      .varint(top - lowest)
      .varint(first);
    for (let i = top; i > lowest; i--) {
      writer.varint(ranges.startAt(i) - ranges.endAt(i - 1) - 1);
      writer.varint(ranges.endAt(i - 1) - ranges.startAt(i - 1) - 1);
    }
    this.#largestWritten = largest;
    this.#waiting = 0;
    this.#ackNow = false;
    this.#deadlineMs = undefined;
    return largest;
  }

  /**
   * The peer acknowledged a packet that carried our ACK with this Largest Acknowledged: what it covered is not named
   * again (RFC 9000 §13.2.4). Duplicates are still known.
   */
  onAckDelivered(largestAcknowledged: number): void {
    // The largest stays, so that an ACK can be written at any time (a probe may carry one).
    this.#unreported.remove(0, Math.min(largestAcknowledged + 1, this.#largest));
  }
}
