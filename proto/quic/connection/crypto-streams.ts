import { RangeSet } from '../ack/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';

/** Octets of out-of-order handshake data held beyond what TLS has taken (RFC 9000 §7.5 asks for at least 4096). */
export const MAX_CRYPTO_BUFFER_OCTETS = 64 * 1024;
/** Separate pieces of out-of-order handshake data; more is an attack on the reassembly, not a ClientHello. */
export const MAX_CRYPTO_PIECES = 64;

interface Piece {
  readonly start: number;
  readonly data: Uint8Array;
}

/** Puts the CRYPTO frames of one level back in order (RFC 9000 §19.6). */
export class CryptoReceiver {
  #offset = 0;
  readonly #pieces: Piece[] = [];

  /** Takes one frame and gives what is now in order, in pieces. Throws CRYPTO_BUFFER_EXCEEDED beyond the bounds. */
  receive(offset: number, data: Uint8Array): readonly Uint8Array[] {
    const end = offset + data.length;
    if (end > this.#offset + MAX_CRYPTO_BUFFER_OCTETS)
      throw new TransportError(
        TransportErrorCode.CRYPTO_BUFFER_EXCEEDED,
        `handshake data reaches offset ${end}, more than ${MAX_CRYPTO_BUFFER_OCTETS} octets beyond ${this.#offset}`,
        0x06,
      );
    if (end <= this.#offset) return [];
    if (offset <= this.#offset && this.#pieces.length === 0) {
      const fresh = data.subarray(this.#offset - offset);
      this.#offset = end;
      return [fresh];
    }
    this.#insert(offset, data);
    return this.#takeInOrder();
  }

  #insert(offset: number, data: Uint8Array): void {
    const pieces = this.#pieces;
    let at = pieces.length;
    while (at > 0 && pieces[at - 1]!.start > offset) at -= 1;
    const before = pieces[at - 1];
    if (before && before.start + before.data.length >= offset + data.length) return;
    if (pieces.length >= MAX_CRYPTO_PIECES)
      throw new TransportError(
        TransportErrorCode.CRYPTO_BUFFER_EXCEEDED,
        `handshake data came in more than ${MAX_CRYPTO_PIECES} separate pieces`,
        0x06,
      );
    pieces.splice(at, 0, { start: offset, data: data.slice() });
  }

  #takeInOrder(): Uint8Array[] {
    const out: Uint8Array[] = [];
    const pieces = this.#pieces;
    let used = 0;
    for (const piece of pieces) {
      if (piece.start > this.#offset) break;
      used += 1;
      const end = piece.start + piece.data.length;
      if (end <= this.#offset) continue;
      out.push(piece.data.subarray(this.#offset - piece.start));
      this.#offset = end;
    }
    pieces.splice(0, used);
    return out;
  }

  /** Whether pieces wait for a gap to be filled. */
  get hasGap(): boolean {
    return this.#pieces.length > 0;
  }
}

/** Handshake octets of one level on their way out, kept until the level's keys go. */
export class CryptoSender {
  #data = new Uint8Array(0);
  readonly #pending = new RangeSet();
  readonly #acked = new RangeSet();

  write(data: Uint8Array): void {
    const start = this.#data.length;
    const grown = new Uint8Array(start + data.length);
    grown.set(this.#data);
    grown.set(data, start);
    this.#data = grown;
    this.#pending.add(start, grown.length);
  }

  get hasPending(): boolean {
    return !this.#pending.isEmpty;
  }

  /** Offset of what goes next, 0 when nothing waits. */
  get nextOffset(): number {
    return this.#pending.isEmpty ? 0 : this.#pending.startAt(0);
  }

  /** Takes up to `maxOctets` of what waits, lowest offset first. */
  take(maxOctets: number): { readonly offset: number; readonly data: Uint8Array } | undefined {
    if (this.#pending.isEmpty || maxOctets <= 0) return undefined;
    const start = this.#pending.startAt(0);
    const end = Math.min(this.#pending.endAt(0), start + maxOctets);
    this.#pending.remove(start, end);
    return { offset: start, data: this.#data.subarray(start, end) };
  }

  acked(offset: number, length: number): void {
    this.#acked.add(offset, offset + length);
    this.#pending.remove(offset, offset + length);
  }

  lost(offset: number, length: number): void {
    this.#acked.addMissingTo(this.#pending, offset, offset + length);
  }

  /** Queues all that is not acknowledged again, for a probe (RFC 9002 §6.2.4). */
  resendUnacked(): void {
    this.lost(0, this.#data.length);
  }
}
