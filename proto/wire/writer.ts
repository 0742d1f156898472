import { WireError } from './errors.ts';
import { varintLength } from './varint.ts';

const TWO_32 = 0x1_0000_0000;
const textEncoder = new TextEncoder();

/**
 * A bounded cursor that writes. A `Writer` over a given buffer never grows: what does not fit throws `WireError`
 * and moves nothing. `Writer.growing()` makes one that grows, for messages rather than packets.
 */
export class Writer {
  data: Uint8Array;
  /** Octets written so far, which is also the index of the next one. */
  offset = 0;
  /** Index after the last octet that may be written; the end of `data` unless set lower. */
  limit: number;
  readonly #growing: boolean;

  constructor(data: Uint8Array, growing = false) {
    this.data = data;
    this.#growing = growing;
    this.limit = data.length;
  }

  static growing(initialOctets = 256): Writer {
    return new Writer(new Uint8Array(initialOctets), true);
  }

  /** Octets that still fit without growing. */
  get remaining(): number {
    return this.limit - this.offset;
  }

  /** Room for `length` octets. Call it before touching the buffer, which it may replace. */
  #claim(length: number): number {
    const at = this.offset;
    if (at + length > this.limit) {
      if (!this.#growing)
        throw new WireError(`need room for ${length} octets, only ${this.limit - at} are left`);
      this.#grow(at + length);
    }
    this.offset = at + length;
    return at;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data);
    this.data = grown;
    this.limit = grown.length;
  }

  /** Octet by octet: a DataView for every packet would cost more than it saves. The array keeps the low eight bits. */
  #setU32(at: number, value: number): void {
    const { data } = this;
    data[at] = value >>> 24;
    data[at + 1] = value >>> 16;
    data[at + 2] = value >>> 8;
    data[at + 3] = value;
  }

  u8(value: number): this {
    const at = this.#claim(1);
    this.data[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#claim(2);
    this.data[at] = value >>> 8;
    this.data[at + 1] = value;
    return this;
  }

  u24(value: number): this {
    const at = this.#claim(3);
    this.data[at] = value >>> 16;
    this.data[at + 1] = value >>> 8;
    this.data[at + 2] = value;
    return this;
  }

  u32(value: number): this {
    const at = this.#claim(4);
    this.#setU32(at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.#claim(8);
    this.#setU32(at, Math.floor(value / TWO_32));
    this.#setU32(at + 4, value);
    return this;
  }

  /** A QUIC varint in its shortest form (RFC 9000 §16), or in `length` octets where a field is filled in later. */
  varint(value: number, length: 1 | 2 | 4 | 8 = varintLength(value)): this {
    if (!(value >= 0) || value > Number.MAX_SAFE_INTEGER) throw new WireError(`${value} is not a varint`);
    if (length < varintLength(value))
      throw new WireError(`${value} does not fit a varint of ${length} octets`);
    if (length === 1) return this.u8(value);
    if (length === 2) return this.u16(value | 0x4000);
    if (length === 4) return this.u32(value | 0x8000_0000);
    const at = this.#claim(8);
    this.#setU32(at, Math.floor(value / TWO_32) | 0xc000_0000);
    this.#setU32(at + 4, value);
    return this;
  }

  bytes(octets: Uint8Array): this {
    const at = this.#claim(octets.length);
    this.data.set(octets, at);
    return this;
  }

  zeros(length: number): this {
    const at = this.#claim(length);
    this.data.fill(0, at, at + length);
    return this;
  }

  /** Text as UTF-8, without a length before it. */
  utf8(text: string): this {
    return this.bytes(textEncoder.encode(text));
  }

  /** What has been written, as a view. */
  finish(): Uint8Array {
    return this.data.subarray(0, this.offset);
  }
}
