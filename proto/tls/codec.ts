import { Reader, Writer } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';

/** Handshake message types (RFC 8446 §4). */
export const HandshakeType = {
  CLIENT_HELLO: 1,
  SERVER_HELLO: 2,
  NEW_SESSION_TICKET: 4,
  END_OF_EARLY_DATA: 5,
  ENCRYPTED_EXTENSIONS: 8,
  CERTIFICATE: 11,
  CERTIFICATE_REQUEST: 13,
  CERTIFICATE_VERIFY: 15,
  FINISHED: 20,
  KEY_UPDATE: 24,
} as const;

/** Octets of a handshake message before its body. */
const MESSAGE_HEADER_LENGTH = 4;

/** A list with its length in `lengthOctets` octets before it; what `fill` writes is the list. */
export function vector(writer: Writer, lengthOctets: 1 | 2 | 3, fill: (writer: Writer) => void): void {
  const start = writer.offset;
  writer.zeros(lengthOctets);
  fill(writer);
  const end = writer.offset;
  const length = end - start - lengthOctets;
  if (length >= 1 << (8 * lengthOctets)) fail(Alert.INTERNAL_ERROR, `a list of ${length} octets is too long`);
  writer.offset = start;
  if (lengthOctets === 1) writer.u8(length);
  else if (lengthOctets === 2) writer.u16(length);
  else writer.u24(length);
  writer.offset = end;
}

/** A whole handshake message, header included. */
export function handshakeMessage(type: number, fill: (writer: Writer) => void): Uint8Array {
  const writer = Writer.growing(512).u8(type);
  vector(writer, 3, fill);
  return writer.finish();
}

export function extension(writer: Writer, type: number, fill: (writer: Writer) => void): void {
  writer.u16(type);
  vector(writer, 2, fill);
}

export function readVector8(reader: Reader): Reader {
  return reader.sub(reader.u8());
}

export function readVector16(reader: Reader): Reader {
  return reader.sub(reader.u16());
}

export function readVector24(reader: Reader): Reader {
  return reader.sub(reader.u24());
}

/** Nothing may follow the last field of a structure (RFC 8446 §6.2, decode_error). */
export function expectEnd(reader: Reader, what: string): void {
  if (!reader.done) fail(Alert.DECODE_ERROR, `${what} has ${reader.remaining} octets too many`);
}

/** A non-empty list of 16-bit codes that fills the rest of `reader`. */
export function readCodes(reader: Reader, what: string): number[] {
  if (reader.done || reader.remaining % 2 !== 0) fail(Alert.DECODE_ERROR, `${what} is no list of codes`);
  const codes: number[] = [];
  while (!reader.done) codes.push(reader.u16());
  return codes;
}

export type Extensions = ReadonlyMap<number, Uint8Array>;

/** An extension block that ends its message or entry; no type may come twice (RFC 8446 §4.2). */
export function readExtensions(reader: Reader, what: string): Extensions {
  const list = readVector16(reader);
  expectEnd(reader, what);
  const extensions = new Map<number, Uint8Array>();
  while (!list.done) {
    const type = list.u16();
    const body = readVector16(list).rest();
    if (extensions.has(type)) fail(Alert.ILLEGAL_PARAMETER, `${what} has extension ${type} twice`);
    extensions.set(type, body);
  }
  return extensions;
}

/** One message out of the stream: `raw` is what the transcript takes. */
export interface HandshakeMessage {
  readonly type: number;
  readonly raw: Uint8Array;
}

export function bodyOf(message: HandshakeMessage): Reader {
  return new Reader(message.raw, MESSAGE_HEADER_LENGTH);
}

const EMPTY = new Uint8Array(0);

/** Cuts a stream of handshake octets into messages; holds at most one message and what came with it. */
export class MessageBuffer {
  #data: Uint8Array = EMPTY;
  #start = 0;
  #end = 0;

  /** Octets that wait for the rest of their message. */
  get length(): number {
    return this.#end - this.#start;
  }

  append(data: Uint8Array): void {
    if (this.length === 0) {
      // The usual case: whole messages in one piece. The copy lets the caller reuse its datagram.
      this.#data = data.slice();
      this.#start = 0;
      this.#end = data.length;
      return;
    }
    if (this.#end + data.length > this.#data.length) this.#makeRoom(data.length);
    this.#data.set(data, this.#end);
    this.#end += data.length;
  }

  /** Nothing is held: what the messages lay in goes with them. */
  #release(): void {
    this.#data = EMPTY;
    this.#start = 0;
    this.#end = 0;
  }

  #makeRoom(needed: number): void {
    const held = this.#data.subarray(this.#start, this.#end);
    const grown = new Uint8Array(Math.max(held.length + needed, held.length * 2));
    grown.set(held);
    this.#data = grown;
    this.#start = 0;
    this.#end = held.length;
  }

  /** Octets of the message that is under way, header included; `undefined` while the header is incomplete. */
  messageLength(): number | undefined {
    if (this.length < MESSAGE_HEADER_LENGTH) return undefined;
    const header = new Reader(this.#data, this.#start + 1, this.#end);
    return MESSAGE_HEADER_LENGTH + header.u24();
  }

  next(): HandshakeMessage | undefined {
    const length = this.messageLength();
    if (length === undefined || length > this.length) return undefined;
    const raw = this.#data.subarray(this.#start, this.#start + length);
    this.#start += length;
    if (this.length === 0) this.#release();
    return { type: new Reader(raw).u8(), raw };
  }
}
