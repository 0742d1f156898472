import {
  type CongestionController,
  initialWindowOctets,
  minimumWindowOctets,
  windowAfterSizeChange,
} from './congestion.ts';

/** NewReno (RFC 9002 §7 and Appendix B). */
export class NewRenoController implements CongestionController {
  windowOctets: number;
  slowStartThresholdOctets = Number.POSITIVE_INFINITY;
  #maxDatagramOctets: number;
  #recoveryStartMs = Number.NEGATIVE_INFINITY;
  /** Octets acknowledged in congestion avoidance and not yet turned into growth. */
  #creditOctets = 0;

  constructor(maxDatagramOctets: number) {
    this.#maxDatagramOctets = maxDatagramOctets;
    this.windowOctets = initialWindowOctets(maxDatagramOctets);
  }

  onAcked(octets: number, sentAtMs: number, _now: number, _rttMs: number, windowWasUsed: boolean): void {
    // RFC 9002 §7.3.2: no growth from packets sent before the recovery period began.
    if (!windowWasUsed || sentAtMs <= this.#recoveryStartMs) return;
    if (this.windowOctets < this.slowStartThresholdOctets) {
      this.windowOctets += octets;
      return;
    }
    // One datagram per window of acknowledged octets (RFC 9002 §7.3.3).
    this.#creditOctets += octets;
    if (this.#creditOctets >= this.windowOctets) {
      this.#creditOctets -= this.windowOctets;
      this.windowOctets += this.#maxDatagramOctets;
    }
  }

  onCongestion(sentAtMs: number, now: number): void {
    if (sentAtMs <= this.#recoveryStartMs) return;
    this.#recoveryStartMs = now;
    this.slowStartThresholdOctets = this.windowOctets * 0.5;
    this.windowOctets = Math.max(this.slowStartThresholdOctets, minimumWindowOctets(this.#maxDatagramOctets));
    this.#creditOctets = 0;
  }

  onPersistentCongestion(): void {
    this.windowOctets = minimumWindowOctets(this.#maxDatagramOctets);
    this.#recoveryStartMs = Number.NEGATIVE_INFINITY;
    this.#creditOctets = 0;
  }

  setMaxDatagramOctets(octets: number): void {
    this.windowOctets = windowAfterSizeChange(this.windowOctets, this.#maxDatagramOctets, octets);
    this.#maxDatagramOctets = octets;
  }
}
