import {
  type AnswerCodec,
  type AnswerLedger,
  type AnswerProgress,
  isId,
  MAX_OPEN_ANSWERS,
  type Message,
  OCTETS_PER_SAMPLE,
  OPUS_CODEC,
  StreamCode,
  type Truncation,
} from '../../proto/voice/index.ts';
import { LazyMap } from '../../proto/wire/index.ts';
import { audioOf } from '../realtime/index.ts';
import type { SendStream } from '../webtransport/types.ts';
import { AnswerStream, type Part } from './answer-stream.ts';

/** Audio of an answer that waits so long, in samples, is more than is under way on a network that carries it: 800 ms. */
const WAITING_SAMPLES = 19_200;

/** What the answers need of their call. */
export interface AnswerHost {
  /** So much more is kept for the page, or less when below 0: octets, with what keeping them costs. */
  queued(octets: number): void;
  /** Audio of a part arrived from the upstream. */
  arrived(itemId: string, contentIndex: number, samples: number): void;
  /** The first audio of a part is about to be sent. */
  begins(): void;
  /** The codec of an answer that is sent from now on. */
  codec(): AnswerCodec;
  sent(samples: number): void;
  dropped(samples: number): void;
}

/**
 * The upstream's audio on its way to the page: one stream per audio part of a response item. It is kept until the page says
 * that it has it, so that another session can go on where one broke off.
 */
export class Answers {
  readonly #host: AnswerHost;
  readonly #ledger: AnswerLedger;
  /** By number, oldest first. */
  readonly #streams = new LazyMap<number, AnswerStream>();
  /** Those that the upstream is still making, by part. */
  readonly #open = new LazyMap<string, AnswerStream>();
  #openStream: (() => Promise<SendStream>) | undefined;
  #nextAnswer = 0;
  #samples = 0;
  #droppedSamples = 0;
  #savedOctets = 0;

  constructor(ledger: AnswerLedger, host: AnswerHost) {
    this.#ledger = ledger;
    this.#host = host;
  }

  /** Samples handed to a transport so far, each counted once. */
  get samples(): number {
    return this.#samples;
  }

  /** Samples that came and will never be sent. */
  get droppedSamples(): number {
    return this.#droppedSamples;
  }

  /** Octets that Opus saved. */
  get savedOctets(): number {
    return this.#savedOctets;
  }

  /** Answers of which something is kept. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** Counts on from here: answers of a call that another backend began. */
  countFrom(nextAnswer: number): void {
    this.#nextAnswer = nextAnswer;
  }

  /** A session carries them from now on; `progress` is what its page has of those that began before. */
  carry(open: () => Promise<SendStream>, progress: readonly AnswerProgress[]): void {
    this.#openStream = open;
    this.received(progress);
    const known = new Map(progress.map(({ answer, samples }) => [answer, samples]));
    for (const stream of this.#streams.values())
      stream.carry(open, known.get(stream.number) ?? 0, this.#host.codec());
  }

  /**
   * The page asked for another codec: answers under way go on in it. In Opus only those of which much waits, as a slow model is not the
   * network; in PCM at once, as the page may not be able to decode.
   */
  recode(codec: AnswerCodec): void {
    const open = this.#openStream;
    if (open === undefined) return;
    const least = codec === OPUS_CODEC ? WAITING_SAMPLES : 0;
    for (const stream of this.#streams.values())
      if (stream.codec !== codec && stream.unacknowledgedSamples >= least) stream.recode(open, codec);
  }

  /** No session carries them: what comes is kept. */
  uncarry(): void {
    this.#openStream = undefined;
    for (const stream of this.#streams.values()) stream.uncarry();
  }

  /** The page says how far it has got. */
  received(progress: readonly AnswerProgress[]): void {
    for (const { answer, samples, ended } of progress) {
      const stream = this.#streams.get(answer);
      if (stream?.received(samples, ended)) this.#drop(stream, StreamCode.CANCELLED);
    }
  }

  /** `response.output_audio.delta`. Gives its response; undefined when the event is not what the API says. */
  delta(event: Message): string | undefined {
    const part = readPart(event);
    const octets = audioOf(event);
    if (part === undefined || octets === undefined) return undefined;
    const { responseId, itemId, contentIndex } = part;
    this.#ledger.begin(part);
    const cut = this.#ledger.isCut(responseId);
    const stream = cut ? undefined : (this.#open.get(keyOf(itemId, contentIndex)) ?? this.#begin(part));
    // Half a sample at the end of a delta is the upstream's fault, and of no use when the rest is dropped.
    const whole = stream?.aligner.push(octets) ?? octets.subarray(0, octets.length & ~1);
    const samples = whole.length / OCTETS_PER_SAMPLE;
    this.#ledger.arrived(itemId, contentIndex, samples);
    this.#host.arrived(itemId, contentIndex, samples);
    // One that the page needs no more of is still being made.
    if (stream === undefined || !this.#streams.has(stream.number)) this.#dropped(samples);
    else if (samples > 0) stream.push(whole);
    return responseId;
  }

  /** `response.output_audio.done`: the stream ends behind what is queued. Gives what to truncate of it, if it was cut. */
  done(event: Message): Truncation[] {
    const part = readPart(event);
    if (part === undefined) return [];
    const key = keyOf(part.itemId, part.contentIndex);
    this.#open.get(key)?.end();
    this.#open.delete(key);
    return this.#ledger.complete(part.itemId, part.contentIndex);
  }

  /** `response.done`: nothing more comes of it, whether or not each part said so. Gives what to truncate of it. */
  responseDone(responseId: string): Truncation[] {
    for (const [key, stream] of this.#open) {
      if (stream.part.responseId !== responseId) continue;
      stream.end();
      this.#open.delete(key);
    }
    return this.#ledger.responseDone(responseId);
  }

  /** These responses were cut: their streams are reset, and what is kept of them is dropped. */
  cut(responseIds: readonly string[]): void {
    for (const stream of this.#streams.values())
      if (responseIds.includes(stream.part.responseId)) this.#drop(stream, StreamCode.BARGE_IN);
  }

  stop(): void {
    for (const stream of this.#streams.values()) stream.drop(StreamCode.SESSION_CLOSED);
    this.#streams.clear();
    this.#open.clear();
    this.#openStream = undefined;
  }

  #begin(part: Part): AnswerStream {
    this.#host.begins();
    this.#bound();
    const stream = new AnswerStream(part, this.#nextAnswer++, {
      queued: (octets) => this.#host.queued(octets),
      sent: ({ part: { itemId, contentIndex } }, samples) => {
        this.#samples += samples;
        this.#ledger.sent(itemId, contentIndex, samples);
        this.#host.sent(samples);
      },
      dropped: (samples) => this.#dropped(samples),
      saved: (octets) => {
        this.#savedOctets += octets;
      },
    });
    this.#streams.set(stream.number, stream);
    this.#open.set(keyOf(part.itemId, part.contentIndex), stream);
    if (this.#openStream !== undefined) stream.carry(this.#openStream, 0, this.#host.codec());
    return stream;
  }

  /** A Realtime session makes one response at a time, of few parts: the oldest are taken for received. */
  #bound(): void {
    for (const [key, stream] of this.#open) {
      if (this.#open.size < MAX_OPEN_ANSWERS) break;
      stream.end();
      this.#open.delete(key);
    }
    for (const stream of this.#streams.values()) {
      if (this.#streams.size < 2 * MAX_OPEN_ANSWERS) break;
      this.#drop(stream, StreamCode.CANCELLED);
    }
  }

  #drop(stream: AnswerStream, code: StreamCode): void {
    stream.drop(code);
    this.#streams.delete(stream.number);
  }

  #dropped(samples: number): void {
    if (samples === 0) return;
    this.#droppedSamples += samples;
    this.#host.dropped(samples);
  }
}

/** Undefined when the event names no part that a stream's header can carry. */
function readPart(event: Message): Part | undefined {
  const { response_id, item_id, content_index = 0, output_index = 0 } = event;
  if (!isId(item_id) || !isIndex(content_index) || !isIndex(output_index)) return undefined;
  // A delta without a response is one of its own, so that a cut of it cuts nothing else.
  const responseId = response_id ?? item_id;
  if (!isId(responseId)) return undefined;
  return { responseId, itemId: item_id, contentIndex: content_index, outputIndex: output_index };
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function keyOf(itemId: string, contentIndex: number): string {
  return `${contentIndex} ${itemId}`;
}
