import type { CloseReason } from '../errors.ts';
import { AMPLIFICATION_FACTOR } from './path/paths.ts';

/** Probe timeouts that closing and draining last (RFC 9000 §10.2). */
const CLOSE_PTOS = 3;

/** What a CONNECTION_CLOSE of ours says. */
export interface CloseFrame {
  readonly application: boolean;
  readonly code: number;
  readonly frameType: number;
  readonly reason: string;
}

type ClosePhase = 'open' | 'closing' | 'draining' | 'closed';

/**
 * How a connection ends (RFC 9000 §10.2): `closing` answers what still comes with the same CONNECTION_CLOSE, ever more
 * rarely; `draining` sends nothing; `closed` is forgotten.
 */
export class CloseState {
  #phase: ClosePhase = 'open';
  #frame: CloseFrame | undefined;
  #reason: CloseReason | undefined;
  #sendDue = false;
  #deadline: number | undefined;
  #packetsSinceSend = 0;
  #sendEvery = 1;
  /** Octets that may be answered with, and octets of an answer. */
  #credit = 0;
  #octets = 0;

  get phase(): ClosePhase {
    return this.#phase;
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Closing or draining: it ends by its deadline. */
  get isEnding(): boolean {
    return this.#phase === 'closing' || this.#phase === 'draining';
  }

  /** What is sent while closing. */
  get frame(): CloseFrame | undefined {
    return this.#frame;
  }

  /** Why it ended, once it did. */
  get reason(): CloseReason | undefined {
    return this.#reason;
  }

  /** When closing or draining ends; none until `startTimer`. */
  get deadline(): number | undefined {
    return this.#deadline;
  }

  startClosing(frame: CloseFrame, reason: CloseReason): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'closing';
    this.#frame = frame;
    this.#reason = reason;
    this.#sendDue = true;
  }

  startDraining(reason: CloseReason): void {
    if (!this.isOpen && this.#phase !== 'closing') return;
    this.#phase = 'draining';
    this.#reason ??= reason;
    this.#sendDue = false;
  }

  /** Closing and draining end three probe timeouts after the first time that is known of them; later calls change nothing. */
  startTimer(now: number, ptoMs: number): void {
    if (this.isEnding) this.#deadline ??= now + CLOSE_PTOS * ptoMs;
  }

  /** Ends without a CONNECTION_CLOSE: idle timeout, stateless reset, and the like. */
  end(reason: CloseReason): void {
    this.#reason ??= reason;
    this.#phase = 'closed';
    this.#sendDue = false;
    this.#deadline = undefined;
  }

  /**
   * A datagram of `octets` came while closing: every 1st, 2nd, 4th, ... one is answered. It is not opened, so it may be
   * forged: what is sent stays within three times what came (RFC 9000 §10.2.1).
   */
  onDatagram(octets: number): void {
    if (this.#phase !== 'closing') return;
    this.#credit += AMPLIFICATION_FACTOR * octets;
    this.#packetsSinceSend += 1;
    if (this.#sendDue || this.#packetsSinceSend < this.#sendEvery || this.#credit < this.#octets) return;
    this.#packetsSinceSend = 0;
    this.#sendEvery *= 2;
    this.#credit -= this.#octets;
    this.#sendDue = true;
  }

  /** The CONNECTION_CLOSE to send now, if one is due; it is due no more then. */
  takeFrame(): CloseFrame | undefined {
    if (!this.#sendDue) return undefined;
    this.#sendDue = false;
    return this.#frame;
  }

  /** CONNECTION_CLOSE was sent in a datagram of `octets`; answers are as large. */
  onSent(octets: number): void {
    this.#octets = octets;
  }
}
