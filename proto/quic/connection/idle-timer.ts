/** An idle timeout lasts at least this many probe timeouts (RFC 9000 §10.1). */
const MIN_IDLE_PTOS = 3;

/** When a connection was last heard and last used, and what follows from it (RFC 9000 §10.1). Times are milliseconds. */
export class IdleTimer {
  readonly #ownTimeoutMs: number;
  #peerTimeoutMs = 0;
  #lastReceivedAt: number;
  #lastSentAt: number;
  /** When the timer was last restarted. */
  #restartedAt: number;
  /** An ack-eliciting packet was sent since the last one came. */
  #elicitedSinceReceived = false;

  /** `ownTimeoutMs` is what we offer; 0 offers none. */
  constructor(ownTimeoutMs: number, now: number) {
    this.#ownTimeoutMs = ownTimeoutMs;
    this.#lastReceivedAt = now;
    this.#lastSentAt = now;
    this.#restartedAt = now;
  }

  /** The peer's max_idle_timeout; 0 offers none. */
  setPeerTimeout(ms: number): void {
    this.#peerTimeoutMs = ms;
  }

  /** When the last packet of the peer was processed. */
  get lastReceivedAt(): number {
    return this.#lastReceivedAt;
  }

  /** A packet of the peer was processed. */
  onReceived(now: number): void {
    this.#lastReceivedAt = now;
    this.#restartedAt = now;
    this.#elicitedSinceReceived = false;
  }

  /** A packet went out: sending restarts the timer once per packet heard. */
  onSent(ackEliciting: boolean, now: number): void {
    this.#lastSentAt = now;
    if (!ackEliciting || this.#elicitedSinceReceived) return;
    this.#elicitedSinceReceived = true;
    this.#restartedAt = now;
  }

  /** The smaller of both sides' offers, at least three probe timeouts; `undefined` when neither offers one. */
  #timeoutMs(ptoMs: number): number | undefined {
    const ours = this.#ownTimeoutMs;
    const theirs = this.#peerTimeoutMs;
    const timeout = ours > 0 && theirs > 0 ? Math.min(ours, theirs) : Math.max(ours, theirs);
    return timeout === 0 ? undefined : Math.max(timeout, MIN_IDLE_PTOS * ptoMs);
  }

  /** When the connection ends for having been idle. */
  deadline(ptoMs: number): number | undefined {
    const timeout = this.#timeoutMs(ptoMs);
    return timeout === undefined ? undefined : this.#restartedAt + timeout;
  }

  /** Half way to it: when a side that may not send data shows that it is there (RFC 9000 §4.1). */
  halfDeadline(ptoMs: number): number | undefined {
    const timeout = this.#timeoutMs(ptoMs);
    return timeout === undefined ? undefined : this.#restartedAt + timeout / 2;
  }

  /** When a PING keeps it alive, `intervalMs` after the last packet either way (RFC 9000 §10.1.2). */
  keepAliveAt(intervalMs: number): number {
    return Math.max(this.#lastSentAt, this.#lastReceivedAt) + intervalMs;
  }
}
