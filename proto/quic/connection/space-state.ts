import { AckTracker } from '../ack/index.ts';
import { PacketSpace } from '../recovery/index.ts';
import { CryptoReceiver, CryptoSender } from './handshake/crypto-streams.ts';
import type { SpaceName } from './observer.ts';

/** Packets without an ack-eliciting frame after which one gets a PING, so that the ACKs themselves are acknowledged (RFC 9000 §13.2.4). */
const ACK_ONLY_RUN = 32;

/** One packet number space (RFC 9000 §12.3). */
export class SpaceState {
  readonly id: PacketSpace;
  readonly name: SpaceName;
  readonly #maxAckDelayMs: number;
  #ack: AckTracker | undefined;
  #cryptoIn: CryptoReceiver | undefined;
  #cryptoOut: CryptoSender | undefined;
  nextPacketNumber = 0;
  #largestAcked = -1;
  #probes = 0;
  #pingDue = false;
  /** Packets sent one after the other that asked for no acknowledgement. */
  #ackOnlySent = 0;

  constructor(id: PacketSpace, name: SpaceName, maxAckDelayMs: number) {
    this.id = id;
    this.name = name;
    this.#maxAckDelayMs = maxAckDelayMs;
  }

  /** Made when first asked for, as are the next two: of the three spaces two have no use for them once their keys are gone. */
  get ack(): AckTracker {
    this.#ack ??= new AckTracker({
      immediate: this.id !== PacketSpace.APPLICATION,
      maxAckDelayMs: this.#maxAckDelayMs,
    });
    return this.#ack;
  }

  /** Ranges of packet numbers that are to be acknowledged. */
  get ackRanges(): number {
    return this.#ack?.rangeCount ?? 0;
  }

  get cryptoIn(): CryptoReceiver {
    this.#cryptoIn ??= new CryptoReceiver();
    return this.#cryptoIn;
  }

  get cryptoOut(): CryptoSender {
    this.#cryptoOut ??= new CryptoSender();
    return this.#cryptoOut;
  }

  /** Handshake data that is held, in octets. */
  get handshakeOctets(): number {
    return (this.#cryptoIn?.heldOctets ?? 0) + (this.#cryptoOut?.heldOctets ?? 0);
  }

  /** Largest packet number of ours that the peer acknowledged, -1 before; says how long a packet number must be. */
  get largestAcked(): number {
    return this.#largestAcked;
  }

  onAcked(largest: number): void {
    if (largest > this.#largestAcked) this.#largestAcked = largest;
  }

  /** Ack-eliciting packets that may go past the congestion window (RFC 9002 §6.2.4). */
  get probes(): number {
    return this.#probes;
  }

  queueProbes(packets: number): void {
    this.#probes = packets;
  }

  /** A PING is to be sent when nothing else asks for an acknowledgement. */
  get pingDue(): boolean {
    return this.#pingDue;
  }

  queuePing(): void {
    this.#pingDue = true;
  }

  /** An end that only receives learns by a PING alone which of its ACKs arrived (RFC 9000 §13.2.4). */
  queuePingAfterAckRun(): void {
    if (this.#ackOnlySent >= ACK_ONLY_RUN && this.ack.pending) this.#pingDue = true;
  }

  /** The packet that is being written asks for an acknowledgement, by a PING or by other frames. */
  onElicitingFrame(): void {
    this.#pingDue = false;
  }

  /** A packet of the space was sent. */
  onSent(ackEliciting: boolean): void {
    this.ack.hasCompany = ackEliciting;
    if (!ackEliciting) {
      this.#ackOnlySent += 1;
      return;
    }
    this.#ackOnlySent = 0;
    if (this.#probes > 0) this.#probes -= 1;
  }

  /** The keys are gone: nothing of the space is acknowledged or sent again (RFC 9001 §4.9). */
  discard(): void {
    this.#probes = 0;
    this.#ack = undefined;
    this.#cryptoIn = undefined;
    this.#cryptoOut = undefined;
  }
}
