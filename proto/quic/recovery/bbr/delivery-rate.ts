import type { SentPacket } from '../sent-packets.ts';

/** What an acknowledgement tells of the path. */
export interface RateSample {
  /** Octets per ms; 0 when the interval was too short to tell. */
  rate: number;
  /** Octets delivered since the newest acknowledged packet was sent, and in all when it was. */
  delivered: number;
  priorDelivered: number;
  newlyAcked: number;
  /** Octets lost since it was sent. */
  lost: number;
  inFlightWhenSent: number;
  appLimited: boolean;
  rttMs: number;
}

/** Measures how fast the path delivers. */
export class DeliveryRate {
  /** Octets delivered so far, and called lost. */
  delivered = 0;
  lost = 0;
  #deliveredAtMs = 0;
  #firstSentAtMs = 0;
  /** Until so much is delivered, samples tell of the application and not of the path; 0 when they tell of the path. */
  #appLimitedUntil = 0;

  get isAppLimited(): boolean {
    return this.#appLimitedUntil > 0;
  }

  /** BBR draft §4.1.2.2. `inFlight` has the packet in it. */
  onSent(packet: SentPacket<unknown>, inFlight: number): void {
    if (inFlight === packet.octets) {
      this.#firstSentAtMs = packet.sentAtMs;
      this.#deliveredAtMs = packet.sentAtMs;
    }
    packet.delivery = {
      firstSentAtMs: this.#firstSentAtMs,
      deliveredAtMs: this.#deliveredAtMs,
      delivered: this.delivered,
      lost: this.lost,
      appLimited: this.isAppLimited,
      inFlight,
    };
  }

  /** There is nothing to send although there is room (BBR draft §4.1.2.4). */
  onAppLimited(inFlight: number): void {
    this.#appLimitedUntil = Math.max(this.delivered + inFlight, 1);
  }

  /** Makes a sample of the packets that an ACK frame acknowledged, ascending; `undefined` without any (BBR draft §4.1.2.3). */
  onAcked(acked: readonly SentPacket<unknown>[], minRttMs: number, now: number): RateSample | undefined {
    let newest: SentPacket<unknown> | undefined;
    let newlyAcked = 0;
    for (const packet of acked) {
      if (packet.delivery === undefined) continue;
      newlyAcked += packet.octets;
      newest = packet;
    }
    const snapshot = newest?.delivery;
    if (newest === undefined || snapshot === undefined) return undefined;
    this.delivered += newlyAcked;
    this.#deliveredAtMs = now;
    this.#firstSentAtMs = newest.sentAtMs;
    if (this.#appLimitedUntil > 0 && this.delivered > this.#appLimitedUntil) this.#appLimitedUntil = 0;
    const intervalMs = Math.max(newest.sentAtMs - snapshot.firstSentAtMs, now - snapshot.deliveredAtMs);
    const delivered = this.delivered - snapshot.delivered;
    return {
      rate: intervalMs > 0 && intervalMs >= Math.min(minRttMs, Number.MAX_VALUE) ? delivered / intervalMs : 0,
      delivered,
      priorDelivered: snapshot.delivered,
      newlyAcked,
      lost: this.lost - snapshot.lost,
      inFlightWhenSent: snapshot.inFlight,
      appLimited: snapshot.appLimited,
      rttMs: now - newest.sentAtMs,
    };
  }
}
