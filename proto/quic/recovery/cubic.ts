import {
  type CongestionController,
  initialWindowOctets,
  minimumWindowOctets,
  windowAfterSizeChange,
} from './congestion.ts';

/** Multiplicative decrease (RFC 9438 §4.6). */
const BETA = 0.7;
/** Aggressiveness, in datagrams per second cubed (RFC 9438 §5). */
const C = 0.4;
/** Growth of the Reno-friendly estimate per window until it reaches the window before the last event (RFC 9438 §4.3). */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** CUBIC (RFC 9438), with slow start and persistent congestion of RFC 9002. Windows are counted in octets. */
export class CubicController implements CongestionController {
  windowOctets: number;
  slowStartThresholdOctets = Number.POSITIVE_INFINITY;
  #maxDatagramOctets: number;
  #recoveryStartMs = Number.NEGATIVE_INFINITY;
  /** W_max and cwnd_prior, in octets. */
  #windowMax = 0;
  #windowPrior = 0;
  /** W_est: the window Reno would have. */
  #windowReno = 0;
  /** Start of the congestion avoidance stage; `undefined` until its first acknowledgement. */
  #epochMs: number | undefined;
  /** K, in seconds. */
  #timeToMax = 0;
  #lastAckMs = 0;

  constructor(maxDatagramOctets: number) {
    this.#maxDatagramOctets = maxDatagramOctets;
    this.windowOctets = initialWindowOctets(maxDatagramOctets);
  }

  onAcked(octets: number, sentAtMs: number, now: number, rttMs: number, windowWasUsed: boolean): void {
    if (sentAtMs <= this.#recoveryStartMs) return;
    const idleMs = windowWasUsed ? 0 : now - this.#lastAckMs;
    this.#lastAckMs = now;
    if (!windowWasUsed) {
      // RFC 9438 §5.8: time in which the window was not used does not count as time of growth.
      if (this.#epochMs !== undefined) this.#epochMs = Math.min(now, this.#epochMs + idleMs);
      return;
    }
    if (this.windowOctets < this.slowStartThresholdOctets) this.windowOctets += octets;
    else this.#avoid(octets, now, rttMs);
  }

  /** Congestion avoidance (RFC 9438 §4.2 to §4.5). */
  #avoid(octets: number, now: number, rttMs: number): void {
    if (this.#epochMs === undefined) this.#beginEpoch(now);
    const datagram = this.#maxDatagramOctets;
    const elapsed = (now - this.#epochMs!) / 1000;
    const alpha = this.#windowReno >= this.#windowPrior ? 1 : ALPHA;
    this.#windowReno += (alpha * octets * datagram) / this.windowOctets;
    if (this.#cubicAt(elapsed) < this.#windowReno) {
      this.windowOctets = Math.max(this.windowOctets, this.#windowReno);
      return;
    }
    // RFC 9438 §4.2: aim at the window of one round trip from now, at most half as much again.
    const aimed = this.#cubicAt(elapsed + rttMs / 1000);
    const target = Math.min(Math.max(aimed, this.windowOctets), 1.5 * this.windowOctets);
    this.windowOctets += ((target - this.windowOctets) * octets) / this.windowOctets;
  }

  #beginEpoch(now: number): void {
    this.#epochMs = now;
    this.#windowReno = this.windowOctets;
    if (this.#windowMax < this.windowOctets) this.#windowMax = this.windowOctets;
    this.#timeToMax = Math.cbrt((this.#windowMax - this.windowOctets) / this.#maxDatagramOctets / C);
  }

  /** W_cubic(t), in octets, `seconds` after the epoch began (RFC 9438 §4.2). */
  #cubicAt(seconds: number): number {
    return C * (seconds - this.#timeToMax) ** 3 * this.#maxDatagramOctets + this.#windowMax;
  }

  onCongestion(sentAtMs: number, now: number): void {
    if (sentAtMs <= this.#recoveryStartMs) return;
    this.#recoveryStartMs = now;
    this.#epochMs = undefined;
    this.#windowPrior = this.windowOctets;
    // RFC 9438 §4.7: fast convergence lets newer flows have their share.
    this.#windowMax =
      this.windowOctets < this.#windowMax ? (this.windowOctets * (1 + BETA)) / 2 : this.windowOctets;
    const minimum = minimumWindowOctets(this.#maxDatagramOctets);
    this.slowStartThresholdOctets = Math.max(this.windowOctets * BETA, minimum);
    this.windowOctets = this.slowStartThresholdOctets;
  }

  onPersistentCongestion(): void {
    this.windowOctets = minimumWindowOctets(this.#maxDatagramOctets);
    this.#recoveryStartMs = Number.NEGATIVE_INFINITY;
    this.#epochMs = undefined;
    // RFC 9438 §4.8: as after a timeout, what comes after slow start begins its curve anew.
    this.#windowMax = 0;
  }

  setMaxDatagramOctets(octets: number): void {
    this.windowOctets = windowAfterSizeChange(this.windowOctets, this.#maxDatagramOctets, octets);
    this.#maxDatagramOctets = octets;
  }
}
