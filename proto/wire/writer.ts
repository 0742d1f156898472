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
  #view: DataView;
  readonly #growing: boolean;

  constructor(data: Uint8Array, growing = false) {
    this.data = data;
    this.#growing = growing;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  static growing(initialOctets = 256): Writer {
    return new Writer(new Uint8Array(initialOctets), true);
  }

  /** Octets that still fit without growing. */
  get remaining(): number {
    return this.data.length - this.offset;
  }

  /** Room for `length` octets. Call it before touching the buffer, which it may replace. */
  #claim(length: number): number {
    const at = this.offset;
    if (at + length > this.data.length) {
      if (!this.#growing)
        throw new WireError(`need room for ${length} octets, only ${this.data.length - at} are left`);
      this.#grow(at + length);
    }
    this.offset = at + length;
    return at;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data);
    this.data = grown;
    this.#view = new DataView(grown.buffer);
  }

  u8(value: number): this {
    const at = this.#claim(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#claim(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u24(value: number): this {
    const at = this.#claim(3);
    this.#view.setUint8(at, value >>> 16);
    this.#view.setUint16(at + 1, value & 0xffff);
    return this;
  }

  u32(value: number): this {
    const at = this.#claim(4);
    this.#view.setUint32(at, value >>> 0);
    return this;
  }

  u64(value: number): this {
    const at = this.#claim(8);
    this.#view.setUint32(at, Math.floor(value / TWO_32));
    this.#view.setUint32(at + 4, value >>> 0);
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
    this.#view.setUint32(at, (Math.floor(value / TWO_32) | 0xc000_0000) >>> 0);
    this.#view.setUint32(at + 4, value >>> 0);
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
