import { encodeMessage, MAX_HEADER_OCTETS, MessageDecoder } from './framing.ts';
import { type Message, SAMPLE_RATE, VOICE_CODEC } from './messages.ts';
import { MAX_RUN_IN_SAMPLES, OPUS_CODEC } from './opus-framing.ts';
import { checked, type Infer, measure, object, oneOf, optional, type Schema, text, whole } from './schema.ts';

const count = whole();
const name = text(1, 256);

/** Header of a microphone stream, client to server: one per unmuted stretch. */
export const microphoneHeaderSchema = object({
  type: oneOf('parley.microphone'),
  /** 0, 1, 2, … in the order they were spoken. */
  stretch: count,
  /** Samples of the call before this stretch, or before what this session carries of it. */
  firstSample: count,
  /** Rewinds of the call before it was written (`parley.rewind`); a stream of an older one is not read. Absent is 0. */
  rewind: optional(count),
  /**
   * The page gave its streams of this session up and sends again `from` a sample that was acknowledged; what arrived behind it is left
   * out. `number` is 1, 2, 3, … in a session, and stands in every stream from then on; one with a lower number is not read.
   */
  resend: optional(object({ number: whole(1), from: count })),
  codec: oneOf(VOICE_CODEC, OPUS_CODEC),
  /** Opus: samples by which the decoder's output lags behind what was encoded. Absent is 0. */
  lookAhead: optional(whole(0, MAX_RUN_IN_SAMPLES)),
  /**
   * Samples before `firstSample` with which the stream begins, that came in another coding: they are left out, and what follows is
   * joined to the other coding without a click. Absent is 0.
   */
  runIn: optional(whole(0, MAX_RUN_IN_SAMPLES)),
  rate: oneOf(SAMPLE_RATE),
  /** When the stretch began, in ms since the call began, as the page counts. */
  startMs: measure(),
  /** `parley.ordered` messages sent before the stretch began: its audio waits for them. Absent is 0. */
  orderedEvents: optional(count),
});
export type MicrophoneHeader = Infer<typeof microphoneHeaderSchema>;

/** Header of an answer stream, server to client: one per audio part of a response item. */
export const answerHeaderSchema = object({
  type: oneOf('parley.answer'),
  responseId: name,
  itemId: name,
  contentIndex: count,
  outputIndex: count,
  /** 0, 1, 2, … over the whole call: by it the page says how far it got. */
  answer: count,
  /** The sample of it that the stream begins with: what the page has of it already is left out. */
  firstSample: count,
  /**
   * 0, 1, 2, … for each stream that carries the answer: the newest takes over from those before, which are not read any further.
   * Absent is 0.
   */
  carriage: optional(count),
  codec: oneOf(VOICE_CODEC, OPUS_CODEC),
  /** Opus: samples by which the decoder's output lags behind what was encoded. Absent is 0. */
  lookAhead: optional(whole(0, MAX_RUN_IN_SAMPLES)),
  rate: oneOf(SAMPLE_RATE),
});
export type AnswerHeader = Infer<typeof answerHeaderSchema>;

export type StreamHeader = MicrophoneHeader | AnswerHeader;

/** A header as the first octets of its stream. */
export function encodeHeader(header: StreamHeader): Uint8Array {
  return encodeMessage(header);
}

/** Reads the header at the front of a stream of either kind, then hands out the audio that follows it. */
class HeaderDecoder<T> {
  readonly #messages = new MessageDecoder(MAX_HEADER_OCTETS);
  readonly #parse: (message: Message) => T;
  #header: T | undefined;

  constructor(parse: (message: Message) => T) {
    this.#parse = parse;
  }

  /** The header, once it is whole. */
  get header(): T | undefined {
    return this.#header;
  }

  /**
   * Takes the next octets of the stream and gives the audio among them: empty until the header is whole, a view of
   * `chunk` after that. Throws `VoiceProtocolError` on a malformed header.
   */
  push(chunk: Uint8Array): Uint8Array {
    if (this.#header !== undefined) return chunk;
    this.#messages.push(chunk);
    const message = this.#messages.next();
    if (message === undefined) return chunk.subarray(chunk.length);
    this.#header = this.#parse(message);
    return this.#messages.takeRest();
  }
}

/** For the server: microphone streams. */
export class MicrophoneHeaderDecoder extends HeaderDecoder<MicrophoneHeader> {
  constructor() {
    super((message) => check(microphoneHeaderSchema, message));
  }
}

/** For the page: answer streams. */
export class AnswerHeaderDecoder extends HeaderDecoder<AnswerHeader> {
  constructor() {
    super((message) => check(answerHeaderSchema, message));
  }
}

function check<T>(schema: Schema<T>, message: Message): T {
  return checked(schema, message, `stream header ${message.type}`);
}
