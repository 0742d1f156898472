import { type Reader, WireError, type Writer } from '../../wire/index.ts';
import { huffmanDecode, huffmanEncode, huffmanLength, latin1 } from './huffman.ts';

/** Greatest integer taken: far above every index and length that can be right, far below where numbers lose precision. */
const MAX_INTEGER = 0xffff_ffff;

/** Not QPACK, whatever follows; distinct from `WireError`, which says that octets are missing. */
export class QpackSyntaxError extends Error {
  override readonly name = 'QpackSyntaxError';
}

/** A prefix integer (RFC 9204 §4.1.1) whose prefix is the low `prefixBits` of the next octet. */
export function readInteger(reader: Reader, prefixBits: number): number {
  const mask = (1 << prefixBits) - 1;
  let value = reader.u8() & mask;
  if (value < mask) return value;
  for (let factor = 1; ; factor *= 128) {
    const octet = reader.u8();
    value += (octet & 0x7f) * factor;
    if (value > MAX_INTEGER || factor > MAX_INTEGER) throw new QpackSyntaxError('an integer is too large');
    if ((octet & 0x80) === 0) return value;
  }
}

/** Writes a prefix integer; `pattern` holds the bits above the prefix. */
export function writeInteger(writer: Writer, prefixBits: number, pattern: number, value: number): void {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    writer.u8(pattern | value);
    return;
  }
  writer.u8(pattern | mask);
  let rest = value - mask;
  while (rest >= 128) {
    writer.u8((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  writer.u8(rest);
}

/** A string literal (RFC 9204 §4.1.2); the Huffman flag is the bit above the length's prefix. */
export function readString(reader: Reader, prefixBits: number, maxOctets: number): string {
  const huffman = (reader.peekU8() & (1 << prefixBits)) !== 0;
  const length = readInteger(reader, prefixBits);
  if (length > maxOctets) throw new QpackSyntaxError(`a string of ${length} octets is too long`);
  const octets = reader.bytes(length);
  if (!huffman) return latin1(octets);
  const text = huffmanDecode(octets);
  if (text === undefined) throw new QpackSyntaxError('a string is not a valid Huffman code');
  return text;
}

/** Writes a string literal in the shorter of its two forms. Characters must be below 256. */
export function writeString(writer: Writer, prefixBits: number, pattern: number, text: string): void {
  const coded = huffmanLength(text);
  if (coded < text.length) {
    writeInteger(writer, prefixBits, pattern | (1 << prefixBits), coded);
    writer.bytes(huffmanEncode(text));
    return;
  }
  writeInteger(writer, prefixBits, pattern, text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) throw new WireError('a header value holds characters above 255; encode it first');
    writer.u8(code);
  }
}
