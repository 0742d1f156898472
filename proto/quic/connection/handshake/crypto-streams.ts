import { RangeSet } from '../../ack/index.ts';
import { TransportError, TransportErrorCode } from '../../errors.ts';

/** Octets of out-of-order handshake data held beyond what TLS has taken (RFC 9000 §7.5 asks for at least 4096). */
export const MAX_CRYPTO_BUFFER_OCTETS = 64 * 1024;
/** Separate pieces of out-of-order handshake data; more is an attack on the reassembly: Chromium cuts a ClientHello into tens. */
export const MAX_CRYPTO_PIECES = 256;

const EMPTY = new Uint8Array(0);

interface Piece {
  readonly start: number;
  readonly data: Uint8Array;
}

function beyondTheEnd(): TransportError {
  return new TransportError(
    TransportErrorCode.PROTOCOL_VIOLATION,
    'handshake data beyond the last message of its encryption level',
    0x06,
  );
}

/** Puts the CRYPTO frames of one level back in order (RFC 9000 §19.6). */
export class CryptoReceiver {
  #offset = 0;
  /** Sorted, apart from each other, all above `#offset`. */
  readonly #pieces: Piece[] = [];
  readonly #held = new RangeSet();
  #over = false;

  /** Octets that wait for a gap before them to close. */
  get heldOctets(): number {
    return this.#pieces.reduce((sum, { data }) => sum + data.length, 0);
  }

  /** TLS reads another level from now on: what waits here, or comes yet, is of no message (RFC 9001 §4.1.3). */
  finish(): void {
    if (this.#pieces.length > 0) throw beyondTheEnd();
    this.#over = true;
  }

  /** Takes one frame and gives what is now in order, in pieces. Throws CRYPTO_BUFFER_EXCEEDED beyond the bounds. */
  receive(offset: number, data: Uint8Array): readonly Uint8Array[] {
    const end = offset + data.length;
    if (this.#over && end > this.#offset) throw beyondTheEnd();
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

  /** Keeps the parts that are not there yet, so that pieces never overlap. */
  #insert(offset: number, data: Uint8Array): void {
    const end = offset + data.length;
    const missing = new RangeSet();
    this.#held.addMissingTo(missing, Math.max(offset, this.#offset), end);
    this.#held.add(Math.max(offset, this.#offset), end);
    for (let i = 0; i < missing.length; i++) {
      if (this.#pieces.length >= MAX_CRYPTO_PIECES)
        throw new TransportError(
          TransportErrorCode.CRYPTO_BUFFER_EXCEEDED,
          `handshake data came in more than ${MAX_CRYPTO_PIECES} separate pieces`,
          0x06,
        );
      const start = missing.startAt(i);
      this.#keep({ start, data: data.slice(start - offset, missing.endAt(i) - offset) });
    }
  }

  #keep(piece: Piece): void {
    let at = this.#pieces.length;
    while (at > 0 && this.#pieces[at - 1]!.start > piece.start) at -= 1;
    this.#pieces.splice(at, 0, piece);
  }

  #takeInOrder(): Uint8Array[] {
    const out: Uint8Array[] = [];
    for (const piece of this.#pieces) {
      if (piece.start > this.#offset) break;
      out.push(piece.data);
      this.#offset += piece.data.length;
    }
    this.#pieces.splice(0, out.length);
    this.#held.remove(0, this.#offset);
    return out;
  }
}

/** Handshake octets of one level on their way out, kept until the level's keys go. */
export class CryptoSender {
  #data: Uint8Array = EMPTY;
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

  /** Octets that are kept. */
  get heldOctets(): number {
    return this.#data.length;
  }
}
