import {
  type AnswerLedger,
  type AnswerPart,
  encodeHeader,
  isId,
  type Message,
  OCTETS_PER_SAMPLE,
  PcmAligner,
  SAMPLE_RATE,
  StreamCode,
  type Truncation,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import type { SendStream } from '../webtransport/types.ts';
import { StreamSender } from './stream-sender.ts';

/** Answer streams open at once; a Realtime session makes one response at a time, of few parts. */
const MAX_OPEN_ANSWERS = 32;
/** What a piece of audio that waits costs beside its octets. */
const PIECE_OVERHEAD_OCTETS = 128;

/** What the answers need of their session. */
export interface AnswerHost {
  openStream(): Promise<SendStream>;
  /** So much more waits for the page, or less when below 0: octets, with what keeping them costs. */
  queued(octets: number): void;
  sent(samples: number): void;
  dropped(samples: number): void;
}

interface AnswerStream extends AnswerPart {
  readonly sender: StreamSender;
  readonly aligner: PcmAligner;
}

/** The upstream's audio on its way to the page: one stream per audio part of a response item. */
export class Answers {
  readonly #host: AnswerHost;
  readonly #ledger: AnswerLedger;
  readonly #streams = new Map<string, AnswerStream>();
  #nextAnswer = 0;
  #samples = 0;
  #droppedSamples = 0;

  constructor(ledger: AnswerLedger, host: AnswerHost) {
    this.#ledger = ledger;
    this.#host = host;
  }

  /** Samples handed to the transport so far. */
  get samples(): number {
    return this.#samples;
  }

  /** Samples that came and will never be sent. */
  get droppedSamples(): number {
    return this.#droppedSamples;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** `response.output_audio.delta`. Gives its response; undefined when the event is not what the API says. */
  delta(event: Message): string | undefined {
    const part = readPart(event);
    if (part === undefined || typeof event.delta !== 'string') return undefined;
    const octets = Buffer.from(event.delta, 'base64');
    const { responseId, itemId, contentIndex } = part;
    this.#ledger.begin(part);
    const cut = this.#ledger.isCut(responseId);
    const stream = cut ? undefined : (this.#streams.get(keyOf(itemId, contentIndex)) ?? this.#begin(part));
    // Half a sample at the end of a delta is the upstream's fault, and no use to anybody when the rest is dropped.
    const whole = stream?.aligner.push(octets) ?? octets.subarray(0, octets.length & ~1);
    const samples = whole.length / OCTETS_PER_SAMPLE;
    this.#ledger.arrived(itemId, contentIndex, samples);
    if (stream === undefined) this.#dropped(samples);
    else if (samples > 0) {
      this.#host.queued(whole.length + PIECE_OVERHEAD_OCTETS);
      stream.sender.push(whole, samples);
    }
    return responseId;
  }

  /** `response.output_audio.done`: the stream ends behind what is queued. Gives what to truncate of it, if it was cut. */
  done(event: Message): Truncation[] {
    const part = readPart(event);
    if (part === undefined) return [];
    this.#streams.get(keyOf(part.itemId, part.contentIndex))?.sender.end();
    return this.#ledger.complete(part.itemId, part.contentIndex);
  }

  /** `response.done`: nothing more comes of it, whether or not each part said so. Gives what to truncate of it. */
  responseDone(responseId: string): Truncation[] {
    for (const stream of this.#streams.values()) if (stream.responseId === responseId) stream.sender.end();
    return this.#ledger.responseDone(responseId);
  }

  /** These responses were cut: their streams are reset, and what is queued of them is dropped. */
  cut(responseIds: readonly string[]): void {
    for (const [key, { responseId, sender }] of this.#streams) {
      if (!responseIds.includes(responseId)) continue;
      sender.abort(StreamCode.BARGE_IN);
      this.#streams.delete(key);
    }
  }

  stop(): void {
    for (const stream of this.#streams.values()) stream.sender.abort(StreamCode.SESSION_CLOSED);
    this.#streams.clear();
  }

  #begin(part: Part): AnswerStream {
    const { responseId, itemId, contentIndex, outputIndex } = part;
    const oldest = this.#streams.values().next().value;
    if (oldest !== undefined && this.#streams.size >= MAX_OPEN_ANSWERS) oldest.sender.end();
    const sender = new StreamSender(() => this.#host.openStream(), {
      taken: (octets, samples) => {
        this.#host.queued(-octets - PIECE_OVERHEAD_OCTETS);
        this.#samples += samples;
        this.#ledger.sent(itemId, contentIndex, samples);
        if (samples > 0) this.#host.sent(samples);
      },
      dropped: (octets, samples) => {
        this.#host.queued(-octets - PIECE_OVERHEAD_OCTETS);
        this.#dropped(samples);
      },
    });
    const header = encodeHeader({
      type: 'parley.answer',
      responseId,
      itemId,
      contentIndex,
      outputIndex,
      answer: this.#nextAnswer++,
      firstSample: 0,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
    });
    const stream = { responseId, itemId, contentIndex, sender, aligner: new PcmAligner() };
    this.#streams.set(keyOf(itemId, contentIndex), stream);
    this.#host.queued(header.length + PIECE_OVERHEAD_OCTETS);
    sender.push(header);
    void this.#forgetWhenOver(stream);
    return stream;
  }

  /** Until its last octet is handed over, a cut must still find the stream. */
  async #forgetWhenOver(stream: AnswerStream): Promise<void> {
    await stream.sender.over;
    const key = keyOf(stream.itemId, stream.contentIndex);
    if (this.#streams.get(key) === stream) this.#streams.delete(key);
  }

  #dropped(samples: number): void {
    if (samples === 0) return;
    this.#droppedSamples += samples;
    this.#host.dropped(samples);
  }
}

interface Part extends AnswerPart {
  readonly outputIndex: number;
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
