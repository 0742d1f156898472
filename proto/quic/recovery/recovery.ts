import { TransportError, TransportErrorCode } from '../errors.ts';
import { type CongestionController, initialWindowOctets, windowWasUsed } from './congestion.ts';
import { makeController } from './make-controller.ts';
import type { AckOutcome, DeadlineOutcome, ReceivedAck, RecoveryOptions } from './outcomes.ts';
import { Pacer } from './pacer.ts';
import { RttEstimator, type RttFigures } from './rtt.ts';
import type { SentPacket } from './sent-packets.ts';
import { PacketSpace, SpaceState } from './space.ts';

const ACK_FRAME = 0x02;
/** Bound of the backoff: 2^16 probe timeouts are far beyond any idle timeout. */
const MAX_BACKOFF_EXPONENT = 16;

/** Loss detection, congestion control and pacing of a connection (RFC 9002). It knows nothing of frames. */
export class Recovery<Retransmit> {
  readonly #newController: () => CongestionController;
  readonly #spaces = [
    new SpaceState<Retransmit>(PacketSpace.INITIAL),
    new SpaceState<Retransmit>(PacketSpace.HANDSHAKE),
    new SpaceState<Retransmit>(PacketSpace.APPLICATION),
  ] as const;
  #rtt = new RttEstimator();
  #congestion: CongestionController;
  #pacer: Pacer;
  #maxDatagramOctets: number;
  #bytesInFlight = 0;
  #packetsLost = 0;
  #ptoCount = 0;
  #peerMaxAckDelayMs = 0;
  #hasHandshakeKeys = false;
  #handshakeConfirmed = false;
  #peerValidatedUs: boolean;
  /** Where the anti-deadlock timer starts from: the last time anything happened (RFC 9002 §6.2.2.1). */
  #lastEventMs = 0;
  /** When the first RTT sample was taken; packets before it prove no persistent congestion (RFC 9002 §7.6.2). */
  #firstSampleMs: number | undefined;

  constructor(options: RecoveryOptions) {
    const { congestionControl = 'cubic', random = () => 0.5 } = options;
    this.#newController = () => makeController(congestionControl, this.#maxDatagramOctets, random);
    this.#maxDatagramOctets = options.maxDatagramOctets;
    // A client knows that the server validates it only later; a server needs no such thing (RFC 9002 §6.2.2.1).
    this.#peerValidatedUs = options.role === 'server';
    this.#congestion = this.#newController();
    this.#pacer = new Pacer(options.maxDatagramOctets);
    this.#setPace(Number.NEGATIVE_INFINITY);
  }

  get rtt(): RttFigures {
    return this.#rtt;
  }

  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  get congestionWindowOctets(): number {
    return Math.floor(this.#congestion.windowOctets);
  }

  /** Infinity until the first congestion event. */
  get slowStartThresholdOctets(): number {
    return this.#congestion.slowStartThresholdOctets;
  }

  get ptoCount(): number {
    return this.#ptoCount;
  }

  get packetsLost(): number {
    return this.#packetsLost;
  }

  /** Takes note of a packet. Numbers of a space must rise; they may skip. */
  onPacketSent(space: PacketSpace, packet: SentPacket<Retransmit>): void {
    const state = this.#spaces[space];
    state.sent.add(packet);
    this.#lastEventMs = packet.sentAtMs;
    if (!packet.inFlight) return;
    if (packet.ackEliciting) state.lastElicitingSentMs = packet.sentAtMs;
    this.#bytesInFlight += packet.octets;
    this.#congestion.onSent?.(packet, this.#bytesInFlight);
    this.#pacer.onSent(packet.octets, packet.sentAtMs);
  }

  /**
   * Handles an ACK frame (RFC 9002 Appendix A.7). The retransmits of `acked` and `late` are delivered; those of `lost` are to be sent
   * again as far as they still matter. Throws `TransportError` PROTOCOL_VIOLATION when a packet is acknowledged that was
   * never sent (RFC 9000 §13.1).
   */
  onAckReceived(space: PacketSpace, ack: ReceivedAck, now: number): AckOutcome<Retransmit> {
    const state = this.#spaces[space];
    if (ack.largestAcknowledged > state.sent.largest) {
      throw new TransportError(
        TransportErrorCode.PROTOCOL_VIOLATION,
        `packet ${ack.largestAcknowledged} is acknowledged but ${state.sent.largest} is the last one sent`,
        ACK_FRAME,
      );
    }
    this.#lastEventMs = now;
    const inFlightBefore = this.#bytesInFlight;
    const acked = this.#takeAcked(state, ack);
    const late = state.lost.takeAcked(ack.ranges, now, this.ptoMs());
    if (acked.length === 0) return { acked, late, lost: [] };
    this.#sampleRtt(state, ack, acked, now);
    this.#handleEcn(state, ack, acked, now);
    const lost = this.#detectLost(state, now);
    this.#growWindow(state, acked, inFlightBefore, now);
    this.#settle(state, acked, lost, now);
    // RFC 9002 §6.2.1: a client that is not known to be validated keeps its backoff.
    if (this.#peerValidatedUs) this.#ptoCount = 0;
    this.#setPace(now);
    return { acked, late, lost };
  }

  /** Takes the newly acknowledged packets out, in ascending order. */
  #takeAcked(state: SpaceState<Retransmit>, ack: ReceivedAck): SentPacket<Retransmit>[] {
    const acked: SentPacket<Retransmit>[] = [];
    const sent = state.sent;
    for (let i = ack.ranges.length - 1; i >= 0; i--) {
      const range = ack.ranges[i]!;
      const end = Math.min(range.largest + 1, sent.end);
      for (let number = Math.max(range.smallest, sent.first); number < end; number++) {
        const packet = sent.get(number);
        if (packet === undefined) continue;
        sent.settle(packet, true);
        this.#leaveFlight(state, packet);
        acked.push(packet);
        // What overtook on another path says nothing of what is still on its way on this one (RFC 9000 §9.4).
        if (!packet.elsewhere) state.largestAcked = Math.max(state.largestAcked, number);
      }
    }
    return acked;
  }

  #leaveFlight(state: SpaceState<Retransmit>, packet: SentPacket<Retransmit>): void {
    if (packet.inFlight && state.ofThisPath(packet)) this.#bytesInFlight -= packet.octets;
  }

  /** RFC 9002 §5.1 and §5.3. */
  #sampleRtt(
    state: SpaceState<Retransmit>,
    ack: ReceivedAck,
    acked: readonly SentPacket<Retransmit>[],
    now: number,
  ): void {
    const largest = acked[acked.length - 1]!;
    if (largest.packetNumber !== ack.largestAcknowledged || !state.ofThisPath(largest)) return;
    if (!acked.some((packet) => packet.ackEliciting && !packet.elsewhere)) return;
    let delayMs = state.space === PacketSpace.INITIAL ? 0 : ack.ackDelayMs;
    if (this.#handshakeConfirmed) delayMs = Math.min(delayMs, this.#peerMaxAckDelayMs);
    this.#rtt.update(Math.max(0, now - largest.sentAtMs), delayMs);
    this.#firstSampleMs ??= now;
  }

  /** RFC 9002 §7.1: more CE marks are a congestion event. */
  #handleEcn(
    state: SpaceState<Retransmit>,
    ack: ReceivedAck,
    acked: readonly SentPacket<Retransmit>[],
    now: number,
  ): void {
    if (ack.ecnCe === undefined || ack.ecnCe <= state.ecnCe) return;
    state.ecnCe = ack.ecnCe;
    const newest = acked[acked.length - 1]!;
    if (state.ofThisPath(newest)) this.#congestion.onCongestion(newest.sentAtMs, now);
  }

  /** Takes lost packets out and tells congestion control (RFC 9002 Appendix A.10 and B.8). */
  #detectLost(state: SpaceState<Retransmit>, now: number): SentPacket<Retransmit>[] {
    const lost = state.detectLost(now, this.#rtt.lossDelayMs, this.#firstSampleMs);
    if (lost.length === 0) return lost;
    let newestMs = Number.NEGATIVE_INFINITY;
    for (const packet of lost) {
      if (!packet.inFlight) continue;
      this.#leaveFlight(state, packet);
      if (packet.mtuProbe) continue;
      this.#packetsLost++;
      if (state.ofThisPath(packet)) newestMs = Math.max(newestMs, packet.sentAtMs);
    }
    if (newestMs === Number.NEGATIVE_INFINITY) return lost;
    this.#congestion.onCongestion(newestMs, now);
    // RFC 9002 §7.6.1, with the peer's max_ack_delay whatever the space.
    const durationMs = 3 * (this.#rtt.probeTimeoutMs + this.#peerMaxAckDelayMs);
    if (state.lostSpanMs > durationMs) {
      this.#congestion.onPersistentCongestion();
      this.#rtt.restartMin();
      state.resetLostSpan();
    }
    return lost;
  }

  /** For a congestion control that goes by whole acknowledgements. */
  #settle(
    state: SpaceState<Retransmit>,
    acked: readonly SentPacket<Retransmit>[],
    lost: readonly SentPacket<Retransmit>[],
    now: number,
  ): void {
    const counts = (packet: SentPacket<Retransmit>) =>
      packet.inFlight && !packet.mtuProbe && state.ofThisPath(packet);
    this.#congestion.onSettled?.(acked.filter(counts), lost.filter(counts), this.#bytesInFlight, now);
  }

  /** There is nothing to send, whether it may be sent or not. */
  onNothingToSend(): void {
    if (this.canSend(this.#maxDatagramOctets)) this.#congestion.onAppLimited?.(this.#bytesInFlight);
  }

  #growWindow(
    state: SpaceState<Retransmit>,
    acked: readonly SentPacket<Retransmit>[],
    inFlightBefore: number,
    now: number,
  ): void {
    const congestion = this.#congestion;
    const used = windowWasUsed(congestion, inFlightBefore, this.#maxDatagramOctets);
    for (const packet of acked) {
      if (!packet.inFlight || !state.ofThisPath(packet)) continue;
      congestion.onAcked(packet.octets, packet.sentAtMs, now, this.#rtt.smoothedMs, used);
    }
  }

  /**
   * Next time to call `onDeadline`, in milliseconds: the loss timer or the probe timeout (RFC 9002 Appendix A.8).
   * `amplificationLimited`: the path in use forbids to send (RFC 9000 §8.1); the probe timer rests meanwhile.
   */
  deadline(amplificationLimited = false): number | undefined {
    const lossMs = this.#lossSpace()?.lossTimeMs;
    if (lossMs !== undefined) return lossMs;
    // RFC 9002 §6.2.2.1: a server that may not send sets no probe timer.
    if (amplificationLimited) return undefined;
    return this.#probe()?.atMs;
  }

  /** The space whose loss timer runs out first. */
  #lossSpace(): SpaceState<Retransmit> | undefined {
    let first: SpaceState<Retransmit> | undefined;
    for (const state of this.#spaces) {
      if (state.lossTimeMs === undefined) continue;
      if (first === undefined || state.lossTimeMs < first.lossTimeMs!) first = state;
    }
    return first;
  }

  /** When and where the next probe goes (RFC 9002 §6.2.1). */
  #probe(): { readonly atMs: number; readonly space: PacketSpace } | undefined {
    const backoff = 1 << Math.min(this.#ptoCount, MAX_BACKOFF_EXPONENT);
    const timeoutMs = this.#rtt.probeTimeoutMs * backoff;
    let atMs = Number.POSITIVE_INFINITY;
    let space: PacketSpace = PacketSpace.INITIAL;
    for (const state of this.#spaces) {
      if (state.sent.ackElicitingCount === 0) continue;
      let candidateMs = state.lastElicitingSentMs + timeoutMs;
      if (state.space === PacketSpace.APPLICATION) {
        // RFC 9002 §6.2.1: not before the handshake is confirmed.
        if (!this.#handshakeConfirmed) continue;
        candidateMs += this.#peerMaxAckDelayMs * backoff;
      }
      if (candidateMs < atMs) {
        atMs = candidateMs;
        space = state.space;
      }
    }
    if (atMs < Number.POSITIVE_INFINITY) return { atMs, space };
    if (this.#peerValidatedUs) return undefined;
    // RFC 9002 §6.2.2.1: a client must not let a server that is out of amplification credit wait without end.
    space = this.#hasHandshakeKeys ? PacketSpace.HANDSHAKE : PacketSpace.INITIAL;
    return { atMs: this.#lastEventMs + timeoutMs, space };
  }

  /** Call at or after `deadline()`. Early calls give `none` (RFC 9002 Appendix A.9). */
  onDeadline(now: number, amplificationLimited = false): DeadlineOutcome<Retransmit> {
    const due = this.deadline(amplificationLimited);
    if (due === undefined || now < due) return { type: 'none' };
    const state = this.#lossSpace();
    if (state !== undefined) {
      this.#lastEventMs = now;
      const lost = this.#detectLost(state, now);
      this.#settle(state, [], lost, now);
      this.#setPace(now);
      return { type: 'lost', space: state.space, lost };
    }
    const probe = this.#probe();
    if (probe === undefined) return { type: 'none' };
    this.#ptoCount++;
    this.#lastEventMs = now;
    // Where there is nothing to resend and nothing was sent, the timer starts from here.
    this.#spaces[probe.space].lastElicitingSentMs = now;
    return { type: 'probe', space: probe.space };
  }

  /** The keys of a space are gone (RFC 9001 §4.9): its packets are forgotten (RFC 9002 §6.2.2 and §6.4). */
  discardSpace(space: PacketSpace, now: number): void {
    this.takeOutstanding(space, now);
  }

  /**
   * Removes and returns what is outstanding in a space, for a Retry or for 0-RTT that was not accepted; congestion
   * control learns nothing from it, and the probe timer starts anew (RFC 9002 §6.2.2, §6.3).
   */
  takeOutstanding(space: PacketSpace, now: number): readonly SentPacket<Retransmit>[] {
    const state = this.#spaces[space];
    const taken = state.takeAll();
    for (const packet of taken) this.#leaveFlight(state, packet);
    this.#ptoCount = 0;
    this.#lastEventMs = now;
    return taken;
  }

  /** Handshake keys are there: anti-deadlock probes use that space. */
  setHandshakeKeys(): void {
    this.#hasHandshakeKeys = true;
  }

  /** RFC 9001 §4.1.2: from here on 1-RTT packets have a probe timeout. */
  setHandshakeConfirmed(now: number): void {
    this.#handshakeConfirmed = true;
    this.#peerValidatedUs = true;
    this.#lastEventMs = now;
  }

  /** Client: an ACK of a Handshake packet, or HANDSHAKE_DONE, came (RFC 9002 §6.2.2.1). */
  setPeerCompletedAddressValidation(): void {
    this.#peerValidatedUs = true;
  }

  /** The peer's max_ack_delay transport parameter, in milliseconds. */
  setPeerMaxAckDelay(ms: number): void {
    this.#peerMaxAckDelayMs = ms;
  }

  setMaxDatagramOctets(octets: number): void {
    if (octets === this.#maxDatagramOctets) return;
    this.#maxDatagramOctets = octets;
    this.#congestion.setMaxDatagramOctets(octets);
    this.#pacer.setMaxDatagramOctets(octets);
  }

  /** Whether the congestion window has room for a packet of `octets` (RFC 9002 §7). Probes and ACK-only packets do not ask. */
  canSend(octets: number): boolean {
    return this.#bytesInFlight + octets <= this.#congestion.windowOctets;
  }

  /**
   * The same for a probe on a path that is not in use, of which nothing is known: an initial window for all such paths
   * (RFC 9000 §8.2.2, §9.4). Else a peer could have answers to its small challenges poured over an address that it left.
   */
  canSendElsewhere(octets: number): boolean {
    const { elsewhereOctets } = this.#spaces[PacketSpace.APPLICATION].sent;
    return elsewhereOctets + octets <= initialWindowOctets(this.#maxDatagramOctets);
  }

  /** When the pacer lets a packet of `octets` go, in milliseconds: at or before `now` means at once. */
  paceAt(octets: number, now: number): number {
    return this.#pacer.readyAt(octets, now);
  }

  /** Probe timeout without backoff, with the peer's max_ack_delay, in milliseconds: base of idle, close and path timers. */
  ptoMs(): number {
    return this.#rtt.probeTimeoutMs + this.#peerMaxAckDelayMs;
  }

  /** The path has another address now: RTT, window and pace start anew (RFC 9000 §9.4). */
  onPathChanged(now: number): void {
    this.#bytesInFlight = 0;
    this.#ptoCount = 0;
    this.#rtt = new RttEstimator();
    this.#firstSampleMs = undefined;
    this.#congestion = this.#newController();
    this.#pacer = new Pacer(this.#maxDatagramOctets);
    for (const state of this.#spaces) state.beginPath();
    this.#setPace(now);
  }

  /** Whether a packet was sent on the path in use, since it is (RFC 9000 §9.4). */
  isOfThisPath(space: PacketSpace, packet: SentPacket<Retransmit>): boolean {
    return this.#spaces[space].ofThisPath(packet);
  }

  /** Whether ack-eliciting packets are outstanding, in `space` or anywhere. */
  hasAckElicitingInFlight(space?: PacketSpace): boolean {
    if (space !== undefined) return this.#spaces[space].sent.ackElicitingCount > 0;
    return this.#spaces.some((state) => state.sent.ackElicitingCount > 0);
  }

  /**
   * Retransmits of the oldest outstanding ack-eliciting packet of a space, to be sent again in a probe where there is nothing
   * new (RFC 9002 §6.2.4). The packet stays outstanding.
   */
  oldestRetransmits(space: PacketSpace): readonly Retransmit[] {
    return this.#spaces[space].oldestEliciting()?.retransmits ?? [];
  }

  #setPace(now: number): void {
    this.#pacer.follow(this.#congestion, this.#rtt.smoothedMs, now);
  }
}
