import type { CloseReason } from '../errors.ts';
import { AMPLIFICATION_FACTOR } from './path/paths.ts';

/** What a CONNECTION_CLOSE of ours says. */
export interface CloseFrame {
  readonly application: boolean;
  readonly code: number;
  readonly frameType: number;
  readonly reason: string;
}

/**
 * How a connection ends (RFC 9000 §10.2): `closing` answers what still comes with the same CONNECTION_CLOSE, ever more
 * rarely; `draining` says nothing; `closed` is forgotten.
 */
export class CloseState {
  phase: 'open' | 'closing' | 'draining' | 'closed' = 'open';
  /** What is sent while closing. */
  frame: CloseFrame | undefined;
  reason: CloseReason | undefined;
  /** A CONNECTION_CLOSE is to be sent. */
  sendDue = false;
  /** When the state ends; set at the first time that is known after entering it. */
  deadline: number | undefined;
  #packetsSinceSend = 0;
  #sendEvery = 1;
  /** Octets that may be answered with, and octets of an answer. */
  #credit = 0;
  #octets = 0;

  get isOpen(): boolean {
    return this.phase === 'open';
  }

  startClosing(frame: CloseFrame, reason: CloseReason): void {
    if (this.phase !== 'open') return;
    this.phase = 'closing';
    this.frame = frame;
    this.reason = reason;
    this.sendDue = true;
  }

  startDraining(reason: CloseReason): void {
    if (this.phase === 'closing') {
      this.phase = 'draining';
      this.sendDue = false;
      return;
    }
    if (this.phase !== 'open') return;
    this.phase = 'draining';
    this.reason = reason;
  }

  /** Ends without a word: idle timeout, stateless reset, and the like. */
  end(reason: CloseReason): void {
    this.reason ??= reason;
    this.phase = 'closed';
    this.sendDue = false;
    this.deadline = undefined;
  }

  /**
   * A datagram of `octets` came while closing: every 1st, 2nd, 4th, ... one is answered. It is not opened, so anybody may have
   * made it: what is sent stays within three times what came (RFC 9000 §10.2.1).
   */
  onPacketWhileClosing(octets: number): void {
    this.#credit += AMPLIFICATION_FACTOR * octets;
    this.#packetsSinceSend += 1;
    if (this.sendDue || this.#packetsSinceSend < this.#sendEvery || this.#credit < this.#octets) return;
    this.#packetsSinceSend = 0;
    this.#sendEvery *= 2;
    this.#credit -= this.#octets;
    this.sendDue = true;
  }

  /** CONNECTION_CLOSE was sent in a datagram of `octets`; answers are as large. */
  onSent(octets: number): void {
    this.#octets = octets;
  }
}
