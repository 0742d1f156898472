/** Round-trip time assumed before the first sample, in milliseconds (RFC 9002 §6.2.2). */
export const INITIAL_RTT_MS = 333;
/** Timer granularity, in milliseconds (RFC 9002 §6.1.2). */
export const GRANULARITY_MS = 1;

/** What is known of the round-trip time; all in milliseconds. */
export interface RttFigures {
  readonly latestMs: number;
  readonly smoothedMs: number;
  readonly varMs: number;
  readonly minMs: number;
  /** False until the first sample: the figures are assumptions then. */
  readonly hasSample: boolean;
}

/** Round-trip time estimation of one path (RFC 9002 §5). */
export class RttEstimator implements RttFigures {
  latestMs = 0;
  minMs = 0;
  smoothedMs = INITIAL_RTT_MS;
  varMs = INITIAL_RTT_MS / 2;
  hasSample = false;
  #restartMin = false;

  /**
   * Takes a sample: the time from sending to acknowledgement of the largest newly acknowledged packet.
   * `ackDelayMs` is what the peer says it held the ACK back, already bounded by max_ack_delay where RFC 9002 §5.3 asks so.
   */
  update(latestMs: number, ackDelayMs: number): void {
    this.latestMs = latestMs;
    if (!this.hasSample) {
      this.hasSample = true;
      this.minMs = latestMs;
      this.smoothedMs = latestMs;
      this.varMs = latestMs / 2;
      return;
    }
    // RFC 9002 §5.2: min_rtt ignores the acknowledgement delay.
    this.minMs = this.#restartMin ? latestMs : Math.min(this.minMs, latestMs);
    this.#restartMin = false;
    // RFC 9002 §5.3: the delay is not taken off where that would fall below min_rtt.
    const adjusted = latestMs >= this.minMs + ackDelayMs ? latestMs - ackDelayMs : latestMs;
    this.varMs = 0.75 * this.varMs + 0.25 * Math.abs(this.smoothedMs - adjusted);
    this.smoothedMs = 0.875 * this.smoothedMs + 0.125 * adjusted;
  }

  /** The next sample becomes min_rtt: after persistent congestion the path may be another one (RFC 9002 §5.2). */
  restartMin(): void {
    this.#restartMin = true;
  }

  /** Probe timeout without backoff and without max_ack_delay (RFC 9002 §6.2.1). */
  get probeTimeoutMs(): number {
    return this.smoothedMs + Math.max(4 * this.varMs, GRANULARITY_MS);
  }

  /** How long after sending a packet may be called lost once a later one was acknowledged (RFC 9002 §6.1.2). */
  get lossDelayMs(): number {
    return Math.max((9 / 8) * Math.max(this.latestMs, this.smoothedMs), GRANULARITY_MS);
  }
}
