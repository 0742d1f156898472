import type { RateSample } from './delivery-rate.ts';
import { PROBE_BW, type State } from './states.ts';

/** Times of the minimum round trip, in ms. */
const MIN_RTT_FILTER_MS = 10_000;
const PROBE_RTT_INTERVAL_MS = 5000;
/** Rounds for which the degree of aggregation is remembered, behind Startup. */
const EXTRA_ACKED_ROUNDS = 10;
/** Multiplicative decrease, that of CUBIC. */
export const BETA = 0.7;
/** Share of `inflightLongterm` that is left free for others. */
const HEADROOM = 0.15;

/** What BBR believes of the path, by what was delivered and what was lost. Octets, ms, octets per ms. */
export class PathModel {
  /** The highest rates of this ProbeBW cycle and of the one before (BBR draft §5.5.5). */
  #maxBandwidths: [number, number] = [0, 0];
  bandwidth = 0;
  bandwidthShortterm = Number.POSITIVE_INFINITY;
  inflightShortterm = Number.POSITIVE_INFINITY;
  inflightLongterm = Number.POSITIVE_INFINITY;
  minRttMs = Number.POSITIVE_INFINITY;
  #minRttAtMs = 0;
  #probeRttMs = Number.POSITIVE_INFINITY;
  #probeRttAtMs = 0;
  /** No round trip as short as the shortest was seen for 5 s. */
  probeRttExpired = false;
  extraAcked = 0;
  #extraAckedFromMs = 0;
  #extraAckedOctets = 0;
  readonly #extraAckedOf: { round: number; octets: number }[] = [];
  /** The most of the last round trip. */
  #bandwidthLatest = 0;
  inflightLatest = 0;
  round = 0;
  roundStart = false;
  roundsSinceProbe = 0;
  #nextRoundDelivered = 0;
  lossInRound = false;
  #lossRoundDelivered = 0;
  lossRoundStart = false;

  get maxBandwidth(): number {
    return Math.max(...this.#maxBandwidths);
  }

  /** A ProbeBW cycle is over (BBR draft §5.5.6). */
  advanceCycle(): void {
    this.#maxBandwidths = [0, this.#maxBandwidths[0]];
    // A cycle in which the path was never tried keeps what was known.
    if (this.#maxBandwidths[1] === 0) this.#maxBandwidths[1] = this.bandwidth;
  }

  /** A round trip is counted from here (BBR draft §5.5.1). */
  startRound(delivered: number): void {
    this.#nextRoundDelivered = delivered;
  }

  /** The first steps of an acknowledgement (BBR draft §5.5.10.3). */
  updateLatest(sample: RateSample, delivered: number): void {
    this.lossRoundStart = sample.priorDelivered >= this.#lossRoundDelivered;
    this.#bandwidthLatest = Math.max(this.#bandwidthLatest, sample.rate);
    this.inflightLatest = Math.max(this.inflightLatest, sample.delivered);
    if (this.lossRoundStart) this.#lossRoundDelivered = delivered;
  }

  /** The last ones of it. */
  advanceLatest(sample: RateSample): void {
    if (!this.lossRoundStart) return;
    this.#bandwidthLatest = sample.rate;
    this.inflightLatest = sample.delivered;
  }

  /** Counts rounds and keeps the highest rate (BBR draft §5.5.1, §5.5.5). */
  updateMaxBandwidth(sample: RateSample, delivered: number): void {
    this.roundStart = sample.priorDelivered >= this.#nextRoundDelivered;
    if (this.roundStart) {
      this.startRound(delivered);
      this.round += 1;
      this.roundsSinceProbe += 1;
    }
    if (sample.rate > 0 && (sample.rate >= this.maxBandwidth || !sample.appLimited))
      this.#maxBandwidths[0] = Math.max(this.#maxBandwidths[0], sample.rate);
  }

  /** Once per round with loss, outside of probes: slow down towards what was delivered (BBR draft §5.5.10.3). */
  adaptLowerBounds(windowOctets: number): void {
    if (this.bandwidthShortterm === Number.POSITIVE_INFINITY) this.bandwidthShortterm = this.maxBandwidth;
    if (this.inflightShortterm === Number.POSITIVE_INFINITY) this.inflightShortterm = windowOctets;
    this.bandwidthShortterm = Math.max(this.#bandwidthLatest, BETA * this.bandwidthShortterm);
    this.inflightShortterm = Math.max(this.inflightLatest, BETA * this.inflightShortterm);
  }

  /** True for the first loss of a round. */
  noteLoss(delivered: number): boolean {
    const first = !this.lossInRound;
    if (first) this.#lossRoundDelivered = delivered;
    this.lossInRound = true;
    return first;
  }

  resetCongestionSignals(): void {
    this.lossInRound = false;
    this.#bandwidthLatest = 0;
    this.inflightLatest = 0;
  }

  resetShortterm(): void {
    this.bandwidthShortterm = Number.POSITIVE_INFINITY;
    this.inflightShortterm = Number.POSITIVE_INFINITY;
  }

  /** The rate that the path is believed to carry (BBR draft §5.5.10.3). */
  bound(): void {
    this.bandwidth = Math.min(this.maxBandwidth, this.bandwidthShortterm);
  }

  /** How much more is acknowledged at once than the rate would have it (BBR draft §5.5.9). */
  updateAggregation(sample: RateSample, windowOctets: number, pipeFilled: boolean, now: number): void {
    let expected = this.bandwidth * (now - this.#extraAckedFromMs);
    if (this.#extraAckedOctets <= expected) {
      this.#extraAckedOctets = 0;
      this.#extraAckedFromMs = now;
      expected = 0;
    }
    this.#extraAckedOctets += sample.newlyAcked;
    const octets = Math.min(this.#extraAckedOctets - expected, windowOctets);
    const from = this.round - (pipeFilled ? EXTRA_ACKED_ROUNDS : 1);
    const kept = this.#extraAckedOf;
    while (kept.length > 0 && kept.at(-1)!.octets <= octets) kept.pop();
    kept.push({ round: this.round, octets });
    while (kept[0]!.round < from) kept.shift();
    this.extraAcked = kept[0]!.octets;
  }

  restartAggregation(now: number): void {
    this.#extraAckedFromMs = now;
    this.#extraAckedOctets = 0;
  }

  /** BBR draft §5.3.4.3. */
  updateMinRtt(rttMs: number, now: number): void {
    this.probeRttExpired = now > this.#probeRttAtMs + PROBE_RTT_INTERVAL_MS;
    if (rttMs < this.#probeRttMs || this.probeRttExpired) {
      this.#probeRttMs = rttMs;
      this.#probeRttAtMs = now;
    }
    if (this.#probeRttMs < this.minRttMs || now > this.#minRttAtMs + MIN_RTT_FILTER_MS) {
      this.minRttMs = this.#probeRttMs;
      this.#minRttAtMs = this.#probeRttAtMs;
    }
  }

  scheduleProbeRtt(now: number): void {
    this.#probeRttAtMs = now;
  }

  /** Octets that fill the path; `undefined` while no round trip was measured (BBR draft §5.6.4.2). */
  get bdpOctets(): number | undefined {
    return this.minRttMs === Number.POSITIVE_INFINITY ? undefined : this.bandwidth * this.minRttMs;
  }

  /** `inflightLongterm` less what is left to others (BBR draft §5.3.3.9). */
  inflightWithHeadroom(datagramOctets: number, minimumOctets: number): number {
    if (this.inflightLongterm === Number.POSITIVE_INFINITY) return this.inflightLongterm;
    const headroom = Math.max(datagramOctets, HEADROOM * this.inflightLongterm);
    return Math.max(this.inflightLongterm - headroom, minimumOctets);
  }

  /** What the window may be at most, by the losses that were seen (BBR draft §5.6.4.7). */
  volumeBound(state: State, datagramOctets: number, minimumOctets: number): number {
    let most = Number.POSITIVE_INFINITY;
    if (state === 'cruise' || state === 'probe-rtt')
      most = this.inflightWithHeadroom(datagramOctets, minimumOctets);
    else if (PROBE_BW.has(state)) most = this.inflightLongterm;
    return Math.max(Math.min(most, this.inflightShortterm), minimumOctets);
  }
}
