import { TransportError, TransportErrorCode } from '../errors.ts';

/** Flow control of the whole connection, both ways (RFC 9000 §4.1). Limits are total octets of all streams. */
export class ConnectionFlow {
  readonly #windowOctets: number;
  #received = 0;
  #consumed = 0;
  #localLimit: number;
  #sent = 0;
  #peerLimit = 0;
  #blockedAt = -1;
  /** MAX_DATA is to be sent. */
  maxDataDue = false;
  /** DATA_BLOCKED is to be sent. */
  blockedDue = false;

  constructor(windowOctets: number) {
    this.#windowOctets = windowOctets;
    this.#localLimit = windowOctets;
  }

  /** MAX_DATA that the peer has or is about to have. */
  get localLimit(): number {
    return this.#localLimit;
  }

  get peerLimit(): number {
    return this.#peerLimit;
  }

  /** New octets that may be sent. */
  get credit(): number {
    return this.#peerLimit - this.#sent;
  }

  onSent(octets: number): void {
    this.#sent += octets;
  }

  /** The peer sent `octets` it had not sent before. Throws FLOW_CONTROL_ERROR. */
  onReceived(octets: number, frameType: number): void {
    if (this.#received + octets > this.#localLimit) {
      throw new TransportError(
        TransportErrorCode.FLOW_CONTROL_ERROR,
        `${this.#received + octets} octets on all streams, the connection's limit is ${this.#localLimit}`,
        frameType,
      );
    }
    this.#received += octets;
  }

  /** The application took `octets`, or will never take them. */
  onConsumed(octets: number): void {
    this.#consumed += octets;
    if (this.#localLimit - this.#consumed > this.#windowOctets / 2) return;
    this.#localLimit = this.#consumed + this.#windowOctets;
    this.maxDataDue = true;
  }

  /** Returns whether the limit rose. */
  raisePeerLimit(limit: number): boolean {
    if (limit <= this.#peerLimit) return false;
    this.#peerLimit = limit;
    this.blockedDue = false;
    return true;
  }

  /** Octets wait and the limit holds them: DATA_BLOCKED, once per limit (RFC 9000 §4.1). */
  noteBlocked(): void {
    if (this.#blockedAt === this.#peerLimit) return;
    this.#blockedAt = this.#peerLimit;
    this.blockedDue = true;
  }

  /** DATA_BLOCKED is said again, or what was due of it is not: whether octets wait for the limit still. */
  repeatBlocked(isBlocked: boolean): void {
    this.blockedDue = isBlocked;
  }
}
