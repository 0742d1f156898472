import { WireError } from './errors.ts';

const TWO_32 = 0x1_0000_0000;
const textDecoder = new TextDecoder('utf-8', { fatal: true });

/**
 * A bounded cursor over octets. Every read is checked; what runs past the end throws `WireError` and moves nothing.
 * Slices are views into the given octets, not copies: copy (`slice()`) what must outlive the datagram.
 */
export class Reader {
  readonly data: Uint8Array;
  /** Index of the next octet to read, within `data`. */
  offset: number;
  /** Index after the last octet that may be read. */
  readonly end: number;

  constructor(data: Uint8Array, start = 0, end: number = data.length) {
    if (start < 0 || end > data.length || start > end)
      throw new WireError('reader bounds lie outside its data');
    this.data = data;
    this.offset = start;
    this.end = end;
  }

  /** Octets not yet read. */
  get remaining(): number {
    return this.end - this.offset;
  }

  get done(): boolean {
    return this.offset >= this.end;
  }

  #take(length: number): number {
    const at = this.offset;
    if (length < 0 || length > this.end - at) {
      throw new WireError(`need ${length} octets at offset ${at}, only ${this.end - at} are left`);
    }
    this.offset = at + length;
    return at;
  }

  /** Octet by octet: a DataView for every packet would cost more than it saves. */
  #u32At(at: number): number {
    const { data } = this;
    return ((data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!) >>> 0;
  }

  /** The next octet, not consumed. */
  peekU8(): number {
    if (this.offset >= this.end) throw new WireError(`need 1 octet at offset ${this.offset}, none is left`);
    return this.data[this.offset]!;
  }

  u8(): number {
    return this.data[this.#take(1)]!;
  }

  u16(): number {
    const at = this.#take(2);
    return (this.data[at]! << 8) | this.data[at + 1]!;
  }

  u24(): number {
    const at = this.#take(3);
    return (this.data[at]! << 16) | (this.data[at + 1]! << 8) | this.data[at + 2]!;
  }

  u32(): number {
    return this.#u32At(this.#take(4));
  }

  /** 64 bits as a number: exact up to 2^53 - 1, the nearest double above. */
  u64(): number {
    const at = this.#take(8);
    return this.#u32At(at) * TWO_32 + this.#u32At(at + 4);
  }

  /**
   * A QUIC varint (RFC 9000 §16). Exact up to 2^53 - 1; a greater value comes back as the nearest double, which is
   * above `MAX_SAFE_VARINT`: good enough to compare a limit with, never to name a stream or a packet.
   */
  varint(): number {
    const start = this.offset;
    const first = this.u8();
    const prefix = first >> 6;
    if (prefix === 0) return first;
    this.offset = start;
    if (prefix === 1) return this.u16() & 0x3fff;
    if (prefix === 2) return this.u32() & 0x3fff_ffff;
    const at = this.#take(8);
    return (this.#u32At(at) & 0x3fff_ffff) * TWO_32 + this.#u32At(at + 4);
  }

  /** The next `length` octets, as a view. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.data.subarray(at, at + length);
  }

  /** All octets that are left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  skip(length: number): void {
    this.#take(length);
  }

  /** A reader over the next `length` octets, which this one moves past. */
  sub(length: number): Reader {
    const at = this.#take(length);
    return new Reader(this.data, at, at + length);
  }

  /** The next `length` octets as UTF-8; malformed text throws `WireError`. */
  utf8(length: number): string {
    const octets = this.bytes(length);
    try {
      return textDecoder.decode(octets);
    } catch {
      throw new WireError('text is not valid UTF-8');
    }
  }
}
