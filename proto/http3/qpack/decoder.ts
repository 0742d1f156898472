import { concat, Reader, WireError, Writer } from '../../wire/index.ts';
import { FieldSectionTooLargeError, Http3Error, Http3ErrorCode } from '../errors.ts';
import type { Field } from '../fields.ts';
import { DynamicTable, fieldSizeOctets } from './dynamic-table.ts';
import { QpackSyntaxError, readInteger, readString, writeInteger } from './primitives.ts';
import { STATIC_TABLE } from './static-table.ts';

export type DecodeResult =
  /** `acknowledgement` is what the decoder stream must carry (RFC 9204 §4.4.1), absent without dynamic references. */
  | {
      readonly kind: 'fields';
      readonly fields: readonly Field[];
      readonly acknowledgement: Uint8Array | undefined;
    }
  /** It refers to entries that have not come yet (RFC 9204 §2.1.2): decode again once `insertCount` reaches it. */
  | { readonly kind: 'blocked'; readonly requiredInsertCount: number };

const NOTHING = new Uint8Array(0);
/** A string of a section is bounded by the section, which is here as a whole. */
const MAX_STRING_OCTETS = Number.MAX_SAFE_INTEGER;

interface Section {
  readonly reader: Reader;
  readonly base: number;
  readonly requiredInsertCount: number;
}

/** Decodes field sections and the peer's encoder stream (RFC 9204). Errors are `Http3Error` with QPACK's codes. */
export class QpackDecoder {
  readonly #table: DynamicTable;
  #acknowledged = 0;
  /** Start of an encoder instruction whose rest has not come; never longer than the largest entry that fits. */
  #pending: Uint8Array = NOTHING;

  /** @param maxCapacity our SETTINGS_QPACK_MAX_TABLE_CAPACITY in octets; 0 allows no dynamic entry. */
  constructor(maxCapacity = 0) {
    this.#table = new DynamicTable(maxCapacity);
  }

  get insertCount(): number {
    return this.#table.insertCount;
  }

  get tableSizeOctets(): number {
    return this.#table.sizeOctets;
  }

  /** The entry with this absolute index, unless it was evicted. */
  entry(absoluteIndex: number): Field | undefined {
    return this.#table.at(absoluteIndex);
  }

  /** Octets of the peer's encoder stream, in any pieces (RFC 9204 §4.3). */
  encoderOctets(data: Uint8Array): void {
    const all = this.#pending.length === 0 ? data : concat([this.#pending, data]);
    const reader = new Reader(all);
    let start = 0;
    try {
      while (!reader.done) {
        start = reader.offset;
        this.#instruction(reader);
      }
      this.#pending = NOTHING;
    } catch (error) {
      if (error instanceof WireError) {
        this.#pending = all.slice(start);
        return;
      }
      if (error instanceof QpackSyntaxError)
        throw new Http3Error(Http3ErrorCode.QPACK_ENCODER_STREAM_ERROR, error.message);
      throw error;
    }
  }

  #instruction(reader: Reader): void {
    const first = reader.peekU8();
    if ((first & 0xe0) === 0x20) {
      const capacity = readInteger(reader, 5);
      if (!this.#table.setCapacity(capacity))
        throw new QpackSyntaxError(`the dynamic table may not grow to ${capacity} octets`);
      return;
    }
    // Refused at its first octet, so that a table without room neither waits for an entry's text nor stores it.
    if (this.#table.capacity === 0) throw new QpackSyntaxError('an entry for a dynamic table of capacity 0');
    let name: string;
    let value: string;
    if (first & 0x80) {
      const index = readInteger(reader, 6);
      name = (first & 0x40 ? this.#static(index) : this.#relative(index))[0];
      value = readString(reader, 7, this.#table.capacity);
    } else if (first & 0x40) {
      name = readString(reader, 5, this.#table.capacity);
      value = readString(reader, 7, this.#table.capacity);
    } else {
      [name, value] = this.#relative(readInteger(reader, 5));
    }
    if (!this.#table.insert(name, value))
      throw new QpackSyntaxError('an entry larger than the dynamic table');
  }

  #static(index: number): Field {
    const field = STATIC_TABLE[index];
    if (field === undefined) throw new QpackSyntaxError(`the static table has no entry ${index}`);
    return field;
  }

  /** Relative to the insert count, as encoder instructions count (RFC 9204 §3.2.5). */
  #relative(index: number): Field {
    const field = this.#table.at(this.#table.insertCount - 1 - index);
    if (field === undefined) throw new QpackSyntaxError(`the dynamic table has no entry ${index} back`);
    return field;
  }

  /**
   * Decodes the payload of a HEADERS frame. Throws `Http3Error` QPACK_DECOMPRESSION_FAILED when it is not QPACK, and
   * `FieldSectionTooLargeError` when its decoded size (RFC 9114 §4.2.2) is above `maxSectionOctets`.
   */
  decode(streamId: number, section: Uint8Array, maxSectionOctets: number): DecodeResult {
    try {
      return this.#decode(streamId, new Reader(section), maxSectionOctets);
    } catch (error) {
      if (error instanceof WireError || error instanceof QpackSyntaxError)
        throw new Http3Error(Http3ErrorCode.QPACK_DECOMPRESSION_FAILED, error.message);
      throw error;
    }
  }

  #decode(streamId: number, reader: Reader, maxSectionOctets: number): DecodeResult {
    const requiredInsertCount = this.#requiredInsertCount(readInteger(reader, 8));
    const negative = (reader.peekU8() & 0x80) !== 0;
    const delta = readInteger(reader, 7);
    const base = negative ? requiredInsertCount - delta - 1 : requiredInsertCount + delta;
    if (base < 0) throw new QpackSyntaxError('the base is negative');
    if (requiredInsertCount > this.#table.insertCount) return { kind: 'blocked', requiredInsertCount };
    const context: Section = { reader, base, requiredInsertCount };
    const fields: Field[] = [];
    let size = 0;
    while (!reader.done) {
      const field = this.#line(context);
      size += fieldSizeOctets(field[0], field[1]);
      if (size > maxSectionOctets) throw new FieldSectionTooLargeError(maxSectionOctets);
      fields.push(field);
    }
    if (requiredInsertCount === 0) return { kind: 'fields', fields, acknowledgement: undefined };
    this.#acknowledged = Math.max(this.#acknowledged, requiredInsertCount);
    return { kind: 'fields', fields, acknowledgement: instruction(7, 0x80, streamId) };
  }

  /** RFC 9204 §4.5.1.1: the count travels modulo twice the number of entries that fit. */
  #requiredInsertCount(encoded: number): number {
    if (encoded === 0) return 0;
    const fullRange = 2 * this.#table.maxEntries;
    if (encoded > fullRange) throw new QpackSyntaxError('the required insert count is out of range');
    const maxValue = this.#table.insertCount + this.#table.maxEntries;
    let count = Math.floor(maxValue / fullRange) * fullRange + encoded - 1;
    if (count > maxValue) {
      if (count <= fullRange) throw new QpackSyntaxError('the required insert count is out of range');
      count -= fullRange;
    }
    if (count === 0) throw new QpackSyntaxError('the required insert count is zero in a long form');
    return count;
  }

  /** One field line (RFC 9204 §4.5.2 to §4.5.6). */
  #line(section: Section): Field {
    const { reader, base } = section;
    const first = reader.peekU8();
    if (first & 0x80) {
      const index = readInteger(reader, 6);
      return first & 0x40 ? this.#static(index) : this.#absolute(section, base - 1 - index);
    }
    if (first & 0x40) {
      const index = readInteger(reader, 4);
      const [name] = first & 0x10 ? this.#static(index) : this.#absolute(section, base - 1 - index);
      return [name, readString(reader, 7, MAX_STRING_OCTETS)];
    }
    if (first & 0x20) {
      const name = readString(reader, 3, MAX_STRING_OCTETS);
      return [name, readString(reader, 7, MAX_STRING_OCTETS)];
    }
    if (first & 0x10) return this.#absolute(section, base + readInteger(reader, 4));
    const [name] = this.#absolute(section, base + readInteger(reader, 3));
    return [name, readString(reader, 7, MAX_STRING_OCTETS)];
  }

  #absolute(section: Section, index: number): Field {
    const field = index < section.requiredInsertCount ? this.#table.at(index) : undefined;
    if (field === undefined)
      throw new QpackSyntaxError(`a reference to dynamic entry ${index}, which is not there`);
    return field;
  }

  /** What tells the peer that a stream was given up (RFC 9204 §4.4.2). Needless with capacity 0. */
  cancelStream(streamId: number): Uint8Array {
    return instruction(6, 0x40, streamId);
  }

  /** What tells the peer of entries received and not yet acknowledged (RFC 9204 §4.4.3), if there are any. */
  insertCountIncrement(): Uint8Array | undefined {
    const increment = this.#table.insertCount - this.#acknowledged;
    if (increment === 0) return undefined;
    this.#acknowledged = this.#table.insertCount;
    return instruction(6, 0x00, increment);
  }
}

function instruction(prefixBits: number, pattern: number, value: number): Uint8Array {
  const writer = Writer.growing(8);
  writeInteger(writer, prefixBits, pattern, value);
  return writer.finish();
}

/**
 * Reads the peer's decoder stream (RFC 9204 §4.4) on behalf of an encoder that never inserts: only Stream Cancellation
 * can be right.
 */
export class DecoderStreamReader {
  #pending: Uint8Array = NOTHING;

  octets(data: Uint8Array): void {
    const all = this.#pending.length === 0 ? data : concat([this.#pending, data]);
    const reader = new Reader(all);
    let start = 0;
    try {
      while (!reader.done) {
        start = reader.offset;
        if ((reader.peekU8() & 0xc0) !== 0x40)
          throw new QpackSyntaxError('an acknowledgement of dynamic entries that were never sent');
        readInteger(reader, 6);
      }
      this.#pending = NOTHING;
    } catch (error) {
      if (error instanceof WireError) this.#pending = all.slice(start);
      else if (error instanceof QpackSyntaxError)
        throw new Http3Error(Http3ErrorCode.QPACK_DECODER_STREAM_ERROR, error.message);
      else throw error;
    }
  }
}
