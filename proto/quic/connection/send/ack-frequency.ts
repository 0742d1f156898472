import type { AckPolicy } from '../../ack/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';
import { type AckFrequencyFrame, FrameType } from '../../frames/index.ts';

/**
 * What we promise not to be asked to undercut, in microseconds: timers of Node are no finer. Sent as min_ack_delay (ACK frequency
 * draft §3).
 */
export const MIN_ACK_DELAY_MICROS = 1000;
/** Ack-eliciting packets of ours that may wait for an ACK: the ACK of an answer then goes with what the peer says. */
const THRESHOLD = 9;
/** A missing packet is told of at once, as RFC 9000 §13.2.1 has it: of voice the next packet comes 20 ms later. */
const REORDERING_THRESHOLD = 1;
/** Values of max_ack_delay end below this, in ms (RFC 9000 §18.2). */
const MAX_ACK_DELAY_END_MS = 2 ** 14;

/** What we ask of the peer's ACKs, once, where it offers to be asked (ACK frequency draft §4). The delay stays what it promised. */
export class AckRequest {
  #maxAckDelayMicros = 0;
  #isDue = false;
  #isSent = false;

  /** The peer offers it, with this max_ack_delay of its own. */
  offer(maxAckDelayMs: number): void {
    this.#maxAckDelayMicros = maxAckDelayMs * 1000;
    this.#isDue = true;
  }

  /** An ACK_FREQUENCY frame goes into the next packet that is sent. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** The peer may wait with its ACKs: a packet that should be acknowledged at once has to say so. */
  get isSent(): boolean {
    return this.#isSent;
  }

  /** The frame, which is sent now. It is the same each time: the peer takes the first that arrives. */
  take(): Omit<AckFrequencyFrame, 'type'> {
    this.#isDue = false;
    this.#isSent = true;
    return {
      sequence: 0,
      threshold: THRESHOLD,
      maxAckDelayMicros: this.#maxAckDelayMicros,
      reorderingThreshold: REORDERING_THRESHOLD,
    };
  }

  onLost(): void {
    this.#isDue = true;
  }
}

/** What the peer asks of our ACKs. Throws `TransportError` PROTOCOL_VIOLATION for a delay that is none (ACK frequency draft §4). */
export function policyOf(frame: AckFrequencyFrame): AckPolicy {
  const { sequence, threshold, maxAckDelayMicros, reorderingThreshold } = frame;
  const maxAckDelayMs = maxAckDelayMicros / 1000;
  if (maxAckDelayMicros < MIN_ACK_DELAY_MICROS || maxAckDelayMs >= MAX_ACK_DELAY_END_MS)
    throw new TransportError(
      TransportErrorCode.PROTOCOL_VIOLATION,
      `ACK_FREQUENCY asks for a delay of ${maxAckDelayMicros} µs`,
      FrameType.ACK_FREQUENCY,
    );
  return { sequence, threshold, maxAckDelayMs, reorderingThreshold };
}
