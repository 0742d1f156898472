import { type CongestionController, initialWindowOctets } from './congestion.ts';
import { GRANULARITY_MS } from './rtt.ts';

/** Faster than one window per round trip, so that pacing alone never leaves the window unused (RFC 9002 §7.7). */
const GAIN = 1.25;
/** In slow start the window doubles within a round trip. */
const SLOW_START_GAIN = 2;
/** A driver may wake up this late, in milliseconds: as much may go at once. */
const BURST_MS = 2;

/**
 * A bucket that fills at the congestion window's rate and holds at least the initial window (RFC 9002 §7.7). A sender of
 * sparse packets, such as voice, always finds it full and is never delayed.
 */
export class Pacer {
  #tokens: number;
  #atMs = Number.NEGATIVE_INFINITY;
  #capacity: number;
  #octetsPerMs = 0;
  #maxDatagramOctets: number;

  constructor(maxDatagramOctets: number) {
    this.#maxDatagramOctets = maxDatagramOctets;
    this.#capacity = initialWindowOctets(maxDatagramOctets);
    this.#tokens = this.#capacity;
  }

  /** Sets the rate: `windowOctets` per `rttMs`. Call when either changed. */
  setRate(windowOctets: number, rttMs: number, slowStart: boolean, now: number): void {
    this.#refill(now);
    this.#octetsPerMs =
      ((slowStart ? SLOW_START_GAIN : GAIN) * windowOctets) / Math.max(rttMs, GRANULARITY_MS);
    this.#capacity = Math.max(initialWindowOctets(this.#maxDatagramOctets), this.#octetsPerMs * BURST_MS);
    this.#tokens = Math.min(this.#tokens, this.#capacity);
  }

  /** Takes its rate from a congestion control: the one that it sets, or that of its window. */
  follow(control: CongestionController, rttMs: number, now: number): void {
    const { windowOctets, slowStartThresholdOctets, pacingOctetsPerMs, quantumOctets } = control;
    if (pacingOctetsPerMs !== undefined) this.setPace(pacingOctetsPerMs, quantumOctets ?? 0, now);
    else this.setRate(windowOctets, rttMs, windowOctets < slowStartThresholdOctets, now);
  }

  /** Sets the pace itself, and how much may go at once. */
  setPace(octetsPerMs: number, quantumOctets: number, now: number): void {
    this.#refill(now);
    this.#octetsPerMs = octetsPerMs;
    this.#capacity = Math.max(quantumOctets, octetsPerMs * BURST_MS);
    this.#tokens = Math.min(this.#tokens, this.#capacity);
  }

  setMaxDatagramOctets(octets: number): void {
    this.#maxDatagramOctets = octets;
  }

  /** When `octets` may be sent, in milliseconds; at or before `now` means at once. */
  readyAt(octets: number, now: number): number {
    this.#refill(now);
    const missing = Math.min(octets, this.#capacity) - this.#tokens;
    if (missing <= 0 || this.#octetsPerMs === 0) return now;
    return now + missing / this.#octetsPerMs;
  }

  /** Takes note of what was sent, paced or not; the debt is bounded by the capacity. */
  onSent(octets: number, now: number): void {
    this.#refill(now);
    this.#tokens = Math.max(this.#tokens - octets, -this.#capacity);
  }

  #refill(now: number): void {
    if (now <= this.#atMs) return;
    if (this.#atMs > Number.NEGATIVE_INFINITY) {
      this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#atMs) * this.#octetsPerMs);
    }
    this.#atMs = now;
  }
}
