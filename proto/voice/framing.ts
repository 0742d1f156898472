// From the files themselves: a page that loads them wants no cursors.
import { concat } from '../wire/octets.ts';
import { encodeVarint, readVarint, varintLengthFrom } from '../wire/varint.ts';
import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import type { Message } from './messages.ts';

/** Longest message on the control stream, either way, in octets of JSON: an event may carry a photograph as base64. */
export const MAX_MESSAGE_OCTETS = 8 << 20;
/** Longest message of Parley's own (`parley.*`), in octets of JSON. */
export const MAX_PARLEY_MESSAGE_OCTETS = 1 << 20;
/** Longest header of an audio stream, in octets of JSON. */
export const MAX_HEADER_OCTETS = 1 << 16;

/** A length above this is no message too long but a stream out of step: it is refused even where long messages are skipped. */
const MAX_SKIPPED_OCTETS = 256 << 20;

/**
 * Most values in one message: objects, arrays, members and elements. What is long in a message is text; 8 MiB of empty objects would
 * take a second to parse, in which all calls wait, and 20 times their size.
 */
const MAX_MESSAGE_VALUES = 131_072;

const INITIAL_BUFFER_OCTETS = 256;
const EMPTY = new Uint8Array(0);
const textEncoder = /* @__PURE__ */ new TextEncoder();
const textDecoder = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true });

/** One message as octets: a QUIC varint with the length of the JSON, then the JSON in UTF-8. */
export function encodeMessage(message: { readonly type: string }): Uint8Array {
  const json = textEncoder.encode(JSON.stringify(message));
  return concat([encodeVarint(json.length), json]);
}

/** A message, and the JSON it came as: what is passed on is that, so nothing is lost or made anew on the way. */
export interface ReceivedMessage {
  readonly message: Message;
  readonly json: string;
  /** Octets of the JSON. */
  readonly octets: number;
}

/** A message above the bound, left out. */
export interface SkippedMessage {
  readonly skippedOctets: number;
}

/**
 * Cuts messages out of a stream, however it is chopped. Holds at most one unfinished message beside the octets of the
 * last `push`; a length above the bound is refused as soon as it is read. A fault throws `VoiceProtocolError`.
 */
export class MessageDecoder {
  readonly #maxOctets: number;
  #data = EMPTY;
  #start = 0;
  #end = 0;
  /** Octets of a message above the bound that are still to come. */
  #toSkip = 0;

  constructor(maxOctets: number = MAX_MESSAGE_OCTETS) {
    this.#maxOctets = maxOctets;
  }

  /** Octets taken in and not yet given out. */
  get bufferedOctets(): number {
    return this.#end - this.#start;
  }

  /** Takes octets in; they are copied. Call `next` or `read` until it gives nothing before the next push. */
  push(chunk: Uint8Array): void {
    const skipped = Math.min(this.#toSkip, chunk.length);
    this.#toSkip -= skipped;
    if (skipped === chunk.length) return;
    const octets = skipped === 0 ? chunk : chunk.subarray(skipped);
    this.#makeRoom(octets.length);
    this.#data.set(octets, this.#end);
    this.#end += octets.length;
  }

  /** The next whole message, or undefined until more octets come. A length above the bound is refused. */
  next(): Message | undefined {
    const found = this.#take(false);
    return found !== undefined && 'message' in found ? found.message : undefined;
  }

  /** As `next`, with the JSON; a message above the bound is told as soon as its length is read, and its octets are skipped. */
  read(): ReceivedMessage | SkippedMessage | undefined {
    return this.#take(true);
  }

  #take(skip: boolean): ReceivedMessage | SkippedMessage | undefined {
    const octets = readVarint(this.#data, this.#start, this.#end);
    if (octets === undefined) return undefined;
    if (octets > (skip ? MAX_SKIPPED_OCTETS : this.#maxOctets)) throw tooLong(octets, this.#maxOctets);
    // As long as the sender wrote it, which may be longer than it need be.
    const from = this.#start + varintLengthFrom(this.#data[this.#start]!);
    const here = this.#end - from;
    if (octets > this.#maxOctets) {
      this.#toSkip = Math.max(0, octets - here);
      this.#consume(from + Math.min(octets, here));
      return { skippedOctets: octets };
    }
    if (here < octets) return undefined;
    const to = from + octets;
    if (octets > MAX_MESSAGE_VALUES) checkValues(this.#data, from, to);
    const json = readText(this.#data.subarray(from, to));
    this.#consume(to);
    return { message: parseMessage(json), json, octets };
  }

  #consume(offset: number): void {
    this.#start = offset;
    if (this.#start === this.#end) this.#release();
  }

  /** Everything that follows the messages taken so far: the audio behind a stream header. Empties the decoder. */
  takeRest(): Uint8Array {
    const rest = this.#data.slice(this.#start, this.#end);
    this.#release();
    return rest;
  }

  #makeRoom(octets: number): void {
    const held = this.#end - this.#start;
    if (this.#end + octets <= this.#data.length) return;
    const capacity = Math.max(this.#data.length, INITIAL_BUFFER_OCTETS);
    if (held + octets <= this.#data.length / 2) {
      this.#data.copyWithin(0, this.#start, this.#end);
    } else {
      const grown = new Uint8Array(Math.max(held + octets, capacity * 2));
      grown.set(this.#data.subarray(this.#start, this.#end));
      this.#data = grown;
    }
    this.#start = 0;
    this.#end = held;
  }

  /** Lets the buffer go, so that one long message does not cost its memory for the whole call. */
  #release(): void {
    this.#start = 0;
    this.#end = 0;
    if (this.#data.length > INITIAL_BUFFER_OCTETS) this.#data = EMPTY;
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

/** Refuses JSON of too many values before it is parsed: each has a comma before it, or a bracket that opens what it is in. */
function checkValues(json: Uint8Array, from: number, to: number): void {
  let values = 0;
  let isText = false;
  for (let at = from; at < to; at++) {
    const octet = json[at];
    if (octet === QUOTE) isText = !isText;
    else if (isText) {
      if (octet === BACKSLASH) at++;
    } else if (octet === COMMA || octet === OPEN_ARRAY || octet === OPEN_OBJECT) values++;
  }
  if (values <= MAX_MESSAGE_VALUES) return;
  throw new VoiceProtocolError(
    SessionCloseCode.MESSAGE_TOO_LARGE,
    `a message of ${values} values came; the limit is ${MAX_MESSAGE_VALUES}`,
  );
}

function readText(octets: Uint8Array): string {
  try {
    return textDecoder.decode(octets);
  } catch {
    throw malformed('a message is not valid UTF-8');
  }
}

function parseMessage(text: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed('a message is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('a message is not a JSON object');
  }
  const { type } = value as { type?: unknown };
  if (!isMessageType(type)) throw malformed('a message has no "type" of 1 to 256 characters');
  return value as Message;
}

/** Whether a message may have this `type`. */
export function isMessageType(type: unknown): type is string {
  return typeof type === 'string' && type.length > 0 && type.length <= 256;
}

function tooLong(octets: number, limit: number): VoiceProtocolError {
  return new VoiceProtocolError(
    SessionCloseCode.MESSAGE_TOO_LARGE,
    `a message of ${octets} octets was announced; the limit is ${limit}`,
  );
}

function malformed(reason: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MALFORMED, reason);
}
