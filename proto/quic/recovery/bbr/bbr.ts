import {
  type CongestionController,
  initialWindowOctets,
  minimumWindowOctets,
  windowAfterSizeChange,
} from '../congestion.ts';
import type { SentPacket } from '../sent-packets.ts';
import { DeliveryRate, type RateSample } from './delivery-rate.ts';
import { FullPipe } from './full-pipe.ts';
import { Growth } from './growth.ts';
import { inFlightAtLoss, isTooHigh, LossRuns } from './loss.ts';
import { BETA, PathModel } from './path-model.ts';
import { ProbeRtt } from './probe-rtt.ts';
import { type AckPhase, type BbrFigures, GAINS, PROBE_BW, type State } from './states.ts';

/** Runs of lost packets in a round trip with which Startup ends (BBR draft §5.3.1.3). */
const STARTUP_LOSS_RUNS = 6;
const MIN_PIPE_DATAGRAMS = 4;
/** Paced this much below the rate of the path (BBR draft §5.6.2). */
const PACING_MARGIN = 0.01;
const [MAX_DRAIN_ROUNDS, MAX_RENO_ROUNDS] = [3, 63];
/** Before the first round trip is measured (BBR draft §5.6.2). */
const NOMINAL_RTT_MS = 1;
const MAX_QUANTUM_OCTETS = 65_536;

/**
 * BBR version 3 (draft-ietf-ccwg-bbr): sends at the rate that the path was seen to deliver, instead of until something is lost. Loss that has
 * nothing to do with the rate costs it less than CUBIC. A loss that proves spurious is not undone, and ECN is not counted.
 */
export class BbrController implements CongestionController {
  windowOctets: number;
  /** There is none: the pacer goes by `pacingOctetsPerMs`. */
  readonly slowStartThresholdOctets = 0;
  readonly #random: () => number;
  readonly #rate = new DeliveryRate();
  readonly #model = new PathModel();
  #datagram: number;
  #state: State = 'startup';
  #pacing: number;
  #inFlight = 0;
  #priorWindow = 0;
  #windowLimited = false;
  #windowLimitedInRound = false;
  #idleRestart = false;
  readonly #lossRuns = new LossRuns();
  readonly #full = new FullPipe();
  readonly #growth = new Growth();
  #drainRound = 0;
  #ackPhase: AckPhase = 'none';
  #cycleAtMs = 0;
  #probeWaitMs = 0;
  #probeSample = false;
  #tooHigh = false;
  #precautionary = false;
  readonly #probeRtt = new ProbeRtt();

  /** `random` gives numbers from 0 up to 1: flows that share a path must not probe it all at once. */
  constructor(maxDatagramOctets: number, random: () => number) {
    this.#datagram = maxDatagramOctets;
    this.#random = random;
    this.windowOctets = initialWindowOctets(maxDatagramOctets);
    this.#pacing = (GAINS.startup.pacing * this.windowOctets) / NOMINAL_RTT_MS;
  }

  /** For the pacer, in octets per ms. */
  get pacingOctetsPerMs(): number {
    return this.#pacing;
  }

  /** Octets that may go at once (BBR draft §5.6.3). */
  get quantumOctets(): number {
    return Math.max(Math.min(this.#pacing, MAX_QUANTUM_OCTETS), 2 * this.#datagram);
  }

  /** The state and the model, for tests and traces. */
  get figures(): BbrFigures {
    const { bandwidth, minRttMs, inflightLongterm } = this.#model;
    return { state: this.#state, bandwidth, minRttMs, inflightLongterm };
  }

  /** BBR goes by whole acknowledgements (`onSettled`). */
  onAcked(): void {}
  onCongestion(): void {}

  /** RFC 9002 §7.6.2; for a timeout BBR draft §5.6.4.4. */
  onPersistentCongestion(): void {
    this.#saveWindow();
    this.windowOctets = minimumWindowOctets(this.#datagram);
  }

  setMaxDatagramOctets(octets: number): void {
    this.windowOctets = windowAfterSizeChange(this.windowOctets, this.#datagram, octets);
    this.#datagram = octets;
  }

  /** `inFlight` has the packet in it. */
  onSent(packet: SentPacket<unknown>, inFlight: number): void {
    const now = packet.sentAtMs;
    if (inFlight === packet.octets && this.#rate.isAppLimited) this.#restartFromIdle(now);
    this.#inFlight = inFlight;
    if (inFlight + this.#datagram > this.windowOctets) this.#windowLimitedInRound = true;
    this.#rate.onSent(packet, inFlight);
  }

  /** There is room, and nothing to send (BBR draft §4.1.2.4). */
  onAppLimited(inFlight: number): void {
    this.#rate.onAppLimited(inFlight);
  }

  /** Packets of the path in use, ascending, that an ACK frame or the loss timer settled. */
  onSettled(
    acked: readonly SentPacket<unknown>[],
    lost: readonly SentPacket<unknown>[],
    inFlight: number,
    now: number,
  ): void {
    this.#inFlight = inFlight;
    for (const packet of lost) this.#onLost(packet, now);
    const sample = this.#rate.onAcked(acked, this.#model.minRttMs, now);
    if (sample === undefined) return;
    this.#updateModel(sample, now);
    this.#setPacing(GAINS[this.#state].pacing);
    this.#setWindow(sample);
  }

  #updateModel(sample: RateSample, now: number): void {
    const model = this.#model;
    const { delivered } = this.#rate;
    model.updateLatest(sample, delivered);
    model.updateMaxBandwidth(sample, delivered);
    if (model.roundStart) {
      this.#windowLimited = this.#windowLimitedInRound;
      this.#windowLimitedInRound = false;
    }
    const lossyRound = model.lossRoundStart && model.lossInRound;
    if (model.lossRoundStart) {
      if (model.lossInRound && !this.#isProbing()) model.adaptLowerBounds(this.windowOctets);
      model.lossInRound = false;
    }
    model.updateAggregation(sample, this.windowOctets, this.#full.reached, now);
    if (model.roundStart && !sample.appLimited) this.#full.round(sample.rate);
    if (lossyRound && this.#lossRuns.count >= STARTUP_LOSS_RUNS) this.#checkStartupLoss(sample);
    if (model.lossRoundStart) this.#lossRuns.reset();
    if (this.#state === 'startup' && this.#full.reached) this.#enter('drain');
    if (this.#state === 'drain' && this.#isDrained()) this.#enterDown(now);
    if (this.#full.reached) this.#updateCycle(sample, now);
    model.updateMinRtt(sample.rttMs, now);
    this.#checkProbeRtt(sample, now);
    model.advanceLatest(sample);
    model.bound();
  }

  #isProbing(): boolean {
    return this.#state === 'startup' || this.#state === 'refill' || this.#state === 'up';
  }

  #minimumOctets(): number {
    return MIN_PIPE_DATAGRAMS * this.#datagram;
  }

  /** BBR draft §5.6.4.2. */
  #inflight(gain: number): number {
    const bdp = this.#model.bdpOctets;
    const octets = bdp === undefined ? initialWindowOctets(this.#datagram) : gain * bdp;
    return this.#withBudget(octets);
  }

  #withBudget(octets: number): number {
    const least = Math.max(octets, this.quantumOctets, this.#minimumOctets());
    return this.#state === 'up' ? least + 2 * this.#datagram : least;
  }

  #enter(state: State): void {
    this.#state = state;
    this.#drainRound = this.#model.round;
  }

  #isDrained(): boolean {
    return this.#inFlight <= this.#inflight(1) || this.#model.round > this.#drainRound + MAX_DRAIN_ROUNDS;
  }

  /** BBR draft §5.3.1.3. */
  #checkStartupLoss(sample: RateSample): void {
    if (this.#state !== 'startup' || !isTooHigh(sample.lost, sample.inFlightWhenSent)) return;
    this.#full.reached = true;
    this.#model.inflightLongterm = Math.max(this.#model.bdpOctets ?? 0, this.#model.inflightLatest);
  }

  #startRound(): void {
    this.#model.startRound(this.#rate.delivered);
  }

  /** BBR draft §5.3.3.9, with the wait of §5.3.3.8. */
  #enterDown(now: number): void {
    this.#model.resetCongestionSignals();
    this.#growth.stop();
    this.#model.roundsSinceProbe = this.#random() < 0.5 ? 0 : 1;
    this.#probeWaitMs = 2000 + 1000 * this.#random();
    this.#cycleAtMs = now;
    this.#ackPhase = 'stopping';
    this.#startRound();
    this.#enter('down');
  }

  #enterRefill(): void {
    this.#model.resetShortterm();
    this.#growth.begin();
    this.#precautionary = false;
    this.#ackPhase = 'refilling';
    this.#startRound();
    this.#enter('refill');
  }

  #enterUp(sample: RateSample): void {
    this.#ackPhase = 'starting';
    this.#startRound();
    this.#full.reset(sample.rate);
    this.#enter('up');
    this.#growth.raise(this.windowOctets, this.#datagram);
  }

  #updateCycle(sample: RateSample, now: number): void {
    if (this.#adaptLongterm(sample)) return;
    switch (this.#state) {
      case 'down':
        if (!this.#probeIsDue(now)) {
          if (this.#mayCruise()) this.#enter('cruise');
          return;
        }
        this.#enterRefill();
        return;
      case 'cruise':
        if (this.#probeIsDue(now)) this.#enterRefill();
        return;
      case 'refill':
        if (!this.#model.roundStart) return;
        this.#probeSample = true;
        this.#enterUp(sample);
        return;
      case 'up':
        if (!this.#mustGoDown(sample)) return;
        this.#tooHigh = false;
        this.#enterDown(now);
        return;
      case 'startup':
      case 'drain':
      case 'probe-rtt':
        return; // no states of ProbeBW
    }
  }

  #mayCruise(): boolean {
    const headroom = this.#model.inflightWithHeadroom(this.#datagram, this.#minimumOctets());
    return this.#inFlight <= headroom && this.#inFlight <= this.#inflight(1);
  }

  /** By the clock, or as often as Reno would have grown again (BBR draft §5.3.3.8). */
  #probeIsDue(now: number): boolean {
    const renoRounds = Math.min(this.#targetOctets() / this.#datagram, MAX_RENO_ROUNDS);
    return now > this.#cycleAtMs + this.#probeWaitMs || this.#model.roundsSinceProbe >= renoRounds;
  }

  #targetOctets(): number {
    return Math.min(this.#model.bdpOctets ?? Number.POSITIVE_INFINITY, this.windowOctets);
  }

  /** BBR draft §5.3.3.7. */
  #mustGoDown(sample: RateSample): boolean {
    const { inflightLongterm } = this.#model;
    if (this.#tooHigh && this.#inFlight >= inflightLongterm) {
      this.#precautionary = true;
      return true;
    }
    if (this.#windowLimited && this.windowOctets >= inflightLongterm) this.#full.reset(sample.rate);
    else if (this.#full.now) return true;
    return false;
  }

  /** True when it decided what comes next (BBR draft §5.3.3.9). */
  #adaptLongterm(sample: RateSample): boolean {
    const model = this.#model;
    const probing = PROBE_BW.has(this.#state);
    if (this.#ackPhase === 'starting' && model.roundStart) this.#ackPhase = 'feedback';
    if (this.#ackPhase === 'stopping' && model.roundStart) {
      this.#probeSample = false;
      this.#ackPhase = 'none';
      if (probing && !sample.appLimited) model.advanceCycle();
      if (probing && this.#precautionary && !this.#tooHigh) {
        this.#enterRefill();
        return true;
      }
    }
    if (isTooHigh(sample.lost, sample.inFlightWhenSent)) return false;
    if (model.inflightLongterm === Number.POSITIVE_INFINITY) return false;
    model.inflightLongterm = Math.max(model.inflightLongterm, sample.inFlightWhenSent);
    if (this.#state === 'up') this.#raiseLongterm(sample);
    return false;
  }

  #raiseLongterm(sample: RateSample): void {
    const model = this.#model;
    if (!this.#windowLimited || this.windowOctets < model.inflightLongterm) return;
    model.inflightLongterm += this.#growth.acked(sample.newlyAcked) * this.#datagram;
    if (model.roundStart) this.#growth.raise(this.windowOctets, this.#datagram);
  }

  /** BBR draft §5.5.10.2. */
  #onLost(packet: SentPacket<unknown>, now: number): void {
    const { delivery } = packet;
    if (delivery === undefined) return;
    this.#rate.lost += packet.octets;
    this.#lossRuns.add(packet.packetNumber);
    if (this.#model.noteLoss(this.#rate.delivered)) this.#saveWindow();
    if (!this.#probeSample) return;
    const lost = this.#rate.lost - delivery.lost;
    if (!isTooHigh(lost, delivery.inFlight)) return;
    this.#tooHigh = true;
    this.#probeSample = false;
    if (!delivery.appLimited) {
      const inFlight = inFlightAtLoss(delivery.inFlight, lost, packet.octets);
      this.#model.inflightLongterm = Math.max(inFlight, this.#targetOctets() * BETA);
    }
    if (this.#state === 'up') this.#enterDown(now);
  }

  /** BBR draft §5.3.4.3. */
  #checkProbeRtt(sample: RateSample, now: number): void {
    if (this.#state !== 'probe-rtt' && this.#model.probeRttExpired && !this.#idleRestart) {
      this.#saveWindow();
      this.#enter('probe-rtt');
      this.#probeRtt.begin();
      this.#ackPhase = 'stopping';
      this.#startRound();
    }
    if (this.#state === 'probe-rtt') this.#inProbeRtt(now);
    if (sample.delivered > 0) this.#idleRestart = false;
  }

  #inProbeRtt(now: number): void {
    this.#rate.onAppLimited(this.#inFlight);
    const lowEnough = this.#inFlight <= this.#probeRttWindow();
    if (this.#probeRtt.step(lowEnough, this.#model.roundStart, now)) this.#startRound();
    else this.#leaveProbeRtt(now);
  }

  /** BBR draft §5.3.4.4. */
  #leaveProbeRtt(now: number, idle = false): void {
    if (!this.#probeRtt.isDone(now, idle)) return;
    this.#model.scheduleProbeRtt(now);
    this.windowOctets = Math.max(this.windowOctets, this.#priorWindow);
    this.#model.resetShortterm();
    if (this.#full.reached) this.#enterDown(now);
    this.#enter(this.#full.reached ? 'cruise' : 'startup');
  }

  #probeRttWindow(): number {
    const bdp = this.#model.bdpOctets ?? initialWindowOctets(this.#datagram);
    return Math.max(GAINS['probe-rtt'].window * bdp, this.#minimumOctets());
  }

  /** BBR draft §5.4.1. */
  #restartFromIdle(now: number): void {
    this.#idleRestart = true;
    this.#model.restartAggregation(now);
    if (PROBE_BW.has(this.#state)) this.#setPacing(1);
    else if (this.#state === 'probe-rtt') this.#leaveProbeRtt(now, true);
  }

  /** BBR draft §5.6.4.4. */
  #saveWindow(): void {
    const modulated = this.#model.lossInRound || this.#state === 'probe-rtt';
    this.#priorWindow = modulated ? Math.max(this.#priorWindow, this.windowOctets) : this.windowOctets;
  }

  /** BBR draft §5.6.2. */
  #setPacing(gain: number): void {
    const { minRttMs, bandwidth } = this.#model;
    const rate = gain * bandwidth * (1 - PACING_MARGIN);
    // The pace of the start was that of a round trip of 1 ms, which none was yet.
    const first =
      (GAINS.startup.pacing * initialWindowOctets(this.#datagram)) / Math.max(minRttMs, NOMINAL_RTT_MS);
    this.#pacing = Math.max(rate, this.#full.reached ? (2 * this.#datagram) / 1000 : first);
  }

  /** BBR draft §5.6.4.6. */
  #setWindow(sample: RateSample): void {
    const { extraAcked } = this.#model;
    const gain = GAINS[this.#state].window;
    const bdp = this.#model.bdpOctets ?? initialWindowOctets(this.#datagram);
    const most = this.#withBudget(gain * bdp + extraAcked);
    const grown = this.windowOctets + sample.newlyAcked;
    if (this.#full.reached) this.windowOctets = Math.min(grown, most);
    else if (this.windowOctets < most || this.#rate.delivered < initialWindowOctets(this.#datagram))
      this.windowOctets = grown;
    this.windowOctets = Math.max(this.windowOctets, this.#minimumOctets());
    if (this.#state === 'probe-rtt') this.windowOctets = Math.min(this.windowOctets, this.#probeRttWindow());
    const bound = this.#model.volumeBound(this.#state, this.#datagram, this.#minimumOctets());
    this.windowOctets = Math.min(this.windowOctets, bound);
  }
}
