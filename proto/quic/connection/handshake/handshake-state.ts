/**
 * How far the handshake has come (RFC 9001 §4.1), and what becomes of HANDSHAKE_DONE. Each step is taken once and none is
 * taken back.
 */
export class HandshakeState {
  readonly #startedAt: number;
  #writable = false;
  #complete = false;
  #confirmed = false;
  #resumed = false;
  #serverName: string | undefined;
  #durationMs: number | undefined;
  #doneDue = false;
  #doneAcked = false;

  constructor(now: number) {
    this.#startedAt = now;
  }

  /** Streams and datagrams may be written. */
  get writable(): boolean {
    return this.#writable;
  }

  /** The TLS handshake completed (RFC 9001 §4.1.1). */
  get complete(): boolean {
    return this.#complete;
  }

  /** Both ends are known to have completed it (RFC 9001 §4.1.2). */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** It took up an earlier session by a ticket. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** The name that the client asked for, if any (RFC 6066 §3). */
  get serverName(): string | undefined {
    return this.#serverName;
  }

  /** Milliseconds from the first packet to completion. */
  get durationMs(): number | undefined {
    return this.#durationMs;
  }

  /** False when it was so already. */
  setWritable(): boolean {
    if (this.#writable) return false;
    this.#writable = true;
    return true;
  }

  /** Gives the milliseconds that it took. */
  setComplete(resumed: boolean, now: number, serverName?: string): number {
    this.#complete = true;
    this.#serverName = serverName;
    this.#resumed = resumed;
    this.#durationMs ??= now - this.#startedAt;
    return this.#durationMs;
  }

  /** False when it was so already, or too early: nothing confirms a handshake that is not complete (RFC 9001 §4.1.2). */
  setConfirmed(): boolean {
    if (this.#confirmed || !this.#complete) return false;
    this.#confirmed = true;
    return true;
  }

  /** Server: a HANDSHAKE_DONE frame is to be sent. */
  get doneDue(): boolean {
    return this.#doneDue;
  }

  /** Server: queues HANDSHAKE_DONE, for the first time or because it was lost; one that arrived is not sent again. */
  queueDone(): void {
    this.#doneDue = !this.#doneAcked;
  }

  /** Server: the client is known to have HANDSHAKE_DONE. */
  get doneAcked(): boolean {
    return this.#doneAcked;
  }

  onDoneSent(): void {
    this.#doneDue = false;
  }

  onDoneAcked(): void {
    this.#doneDue = false;
    this.#doneAcked = true;
  }

  /** When a handshake that is not complete is given up. */
  deadline(timeoutMs: number): number | undefined {
    return this.#complete ? undefined : this.#startedAt + timeoutMs;
  }
}
