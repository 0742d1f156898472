import { type PartialOctets, type PeekedName, peekServerName } from './peek.ts';

const RECORD_HEADER_LENGTH = 5;
const HANDSHAKE = 22;
/** Longest fragment of a record that is not encrypted, in octets (RFC 8446 §5.1). */
const MAX_FRAGMENT_LENGTH = 1 << 14;

/** Octets of a TCP connection that are looked at for a server_name, at most. */
export const MAX_RECORD_OCTETS = 16_384;

const NONE: PeekedName = Object.freeze({ complete: true, serverName: undefined });

/**
 * Finds the server_name of a TLS client in the first octets of its TCP connection, which may come in any pieces: the ClientHello
 * lies in the fragments of one or more records (RFC 8446 §5.1). Never throws: what is no ClientHello has no name.
 */
export class ClientHelloRecords implements PartialOctets {
  #data = new Uint8Array(1024);
  #length = 0;
  #octets = 0;
  readonly #header = new Uint8Array(RECORD_HEADER_LENGTH);
  #headerLength = 0;
  #fragmentLeft = 0;
  #outcome: PeekedName = Object.freeze({ complete: false });

  /** The handshake octets so far, and free room behind them. */
  get data(): Uint8Array {
    return this.#data;
  }

  has(_start: number, end: number): boolean {
    return end <= this.#length;
  }

  /** Takes the next octets. Once the outcome is complete, it stays as it is. */
  take(octets: Uint8Array): PeekedName {
    if (this.#outcome.complete) return this.#outcome;
    const used = octets.subarray(0, MAX_RECORD_OCTETS - this.#octets);
    this.#octets += used.length;
    const wellFormed = this.#unwrap(used);
    const found = this.#length > 0 ? peekServerName(this) : this.#outcome;
    const atAnEnd = !wellFormed || this.#octets >= MAX_RECORD_OCTETS;
    this.#outcome = !found.complete && atAnEnd ? NONE : found;
    return this.#outcome;
  }

  /** Appends what is in the records to the handshake octets. False when something else than a handshake record begins. */
  #unwrap(octets: Uint8Array): boolean {
    let at = 0;
    while (at < octets.length) {
      if (this.#fragmentLeft === 0) {
        this.#header[this.#headerLength++] = octets[at++]!;
        if (this.#headerLength < RECORD_HEADER_LENGTH) continue;
        this.#headerLength = 0;
        if (!this.#begin()) return false;
        continue;
      }
      const piece = octets.subarray(at, at + this.#fragmentLeft);
      this.#append(piece);
      at += piece.length;
      this.#fragmentLeft -= piece.length;
    }
    // What does not begin like a handshake record need not be waited for.
    return this.#headerLength === 0 || this.#header[0] === HANDSHAKE;
  }

  #begin(): boolean {
    const [type, major, , high, low] = this.#header as Uint8Array & number[];
    const length = (high! << 8) | low!;
    this.#fragmentLeft = length;
    // legacy_record_version is ignored but for its first octet, by which TLS is told from other protocols; no fragment is empty.
    return type === HANDSHAKE && major === 3 && length > 0 && length <= MAX_FRAGMENT_LENGTH;
  }

  #append(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#data.length) {
      const larger = new Uint8Array(Math.min(MAX_RECORD_OCTETS, Math.max(length, 2 * this.#data.length)));
      larger.set(this.#data.subarray(0, this.#length));
      this.#data = larger;
    }
    this.#data.set(piece, this.#length);
    this.#length = length;
  }
}
