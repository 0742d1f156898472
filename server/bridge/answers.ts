import {
  AnswerLedger,
  encodeHeader,
  type Message,
  OCTETS_PER_SAMPLE,
  PcmAligner,
  type PlaybackPositionMessage,
  SAMPLE_RATE,
  StreamCode,
  type Truncation,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import type { SendStream } from '../webtransport/types.ts';
import { StreamSender } from './stream-sender.ts';

/** Answer streams open at once; a Realtime session makes one response at a time, of few parts. */
const MAX_OPEN_ANSWERS = 32;

/** What the answers need of their session. */
export interface AnswerHost {
  openStream(): Promise<SendStream>;
  /** Octets were queued for the page (above 0), or left the queue (below 0). */
  queued(octets: number): void;
  sent(samples: number): void;
  dropped(samples: number): void;
}

/** An audio part that a barge-in cut. */
export interface CutPart {
  readonly itemId: string;
  readonly contentIndex: number;
}

interface AnswerStream {
  readonly responseId: string;
  readonly itemId: string;
  readonly contentIndex: number;
  readonly sender: StreamSender;
  readonly aligner: PcmAligner;
}

/** The upstream's audio on its way to the page: one stream per audio part of a response item. */
export class Answers {
  readonly #host: AnswerHost;
  readonly #ledger = new AnswerLedger();
  readonly #streams = new Map<string, AnswerStream>();
  #samples = 0;

  constructor(host: AnswerHost) {
    this.#host = host;
  }

  /** Samples handed to the transport so far. */
  get samples(): number {
    return this.#samples;
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  /** `response.output_audio.delta`. False when the event is not what the API says. */
  delta(event: Message): boolean {
    const part = readPart(event);
    if (part === undefined || typeof event.delta !== 'string') return false;
    const octets = Buffer.from(event.delta, 'base64');
    const { itemId, contentIndex } = part;
    if (this.#ledger.isCleared(itemId, contentIndex)) {
      this.#dropped(itemId, contentIndex, octets.length / OCTETS_PER_SAMPLE);
      return true;
    }
    const stream = this.#streams.get(keyOf(itemId, contentIndex)) ?? this.#begin(part);
    const whole = stream.aligner.push(octets);
    if (whole.length === 0) return true;
    this.#host.queued(whole.length);
    stream.sender.push(whole, whole.length / OCTETS_PER_SAMPLE);
    return true;
  }

  /** `response.output_audio.done`: the stream ends behind what is queued. */
  done(event: Message): void {
    const part = readPart(event);
    if (part === undefined) return;
    const stream = this.#streams.get(keyOf(part.itemId, part.contentIndex));
    if (stream !== undefined) this.#finish(stream);
    else this.#ledger.complete(part.itemId, part.contentIndex);
  }

  /** `response.done`: nothing more comes of it, whether or not each part said so. */
  responseDone(responseId: string): void {
    for (const stream of this.#streams.values()) {
      if (stream.responseId === responseId) this.#finish(stream);
    }
  }

  /**
   * The caller speaks: streams of what was not heard to its end are reset, their later audio is dropped. Gives the
   * parts that are cut; none when there is nothing left to hear.
   */
  bargeIn(): readonly CutPart[] {
    const cut = this.#ledger.bargeIn();
    for (const { itemId, contentIndex } of cut) {
      this.#streams.get(keyOf(itemId, contentIndex))?.sender.abort(StreamCode.BARGE_IN);
      this.#streams.delete(keyOf(itemId, contentIndex));
    }
    return cut;
  }

  /** The page has not said where it stopped: what to tell the upstream of these parts all the same. */
  unanswered(cut: readonly CutPart[]): Truncation[] {
    return cut
      .map(({ itemId, contentIndex }) => this.#ledger.unanswered(itemId, contentIndex))
      .filter((truncation) => truncation !== undefined);
  }

  /** The page's report; gives what to tell the upstream, if anything. */
  position(message: PlaybackPositionMessage): Truncation | undefined {
    return this.#ledger.position(message);
  }

  stop(): void {
    for (const stream of this.#streams.values()) stream.sender.abort(StreamCode.SESSION_CLOSED);
    this.#streams.clear();
  }

  #begin(part: Part): AnswerStream {
    const { responseId, itemId, contentIndex, outputIndex } = part;
    const oldest = this.#streams.values().next().value;
    if (oldest !== undefined && this.#streams.size >= MAX_OPEN_ANSWERS) this.#finish(oldest);
    this.#ledger.begin(itemId, contentIndex);
    const sender = new StreamSender(() => this.#host.openStream(), {
      taken: (octets, samples) => {
        this.#host.queued(-octets);
        this.#samples += samples;
        this.#ledger.sent(itemId, contentIndex, samples);
        if (samples > 0) this.#host.sent(samples);
      },
      dropped: (octets, samples) => {
        this.#host.queued(-octets);
        this.#dropped(itemId, contentIndex, samples);
      },
    });
    const header = encodeHeader({
      type: 'parley.answer',
      responseId,
      itemId,
      contentIndex,
      outputIndex,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
    });
    this.#host.queued(header.length);
    sender.push(header);
    const stream = { responseId, itemId, contentIndex, sender, aligner: new PcmAligner() };
    this.#streams.set(keyOf(itemId, contentIndex), stream);
    return stream;
  }

  #finish(stream: AnswerStream): void {
    this.#ledger.complete(stream.itemId, stream.contentIndex);
    stream.sender.end();
    void this.#forgetWhenIdle(stream);
  }

  /** Until its last octet is handed over, a barge-in must still find the stream. */
  async #forgetWhenIdle(stream: AnswerStream): Promise<void> {
    await stream.sender.idle();
    const key = keyOf(stream.itemId, stream.contentIndex);
    if (this.#streams.get(key) === stream) this.#streams.delete(key);
  }

  #dropped(itemId: string, contentIndex: number, samples: number): void {
    if (samples === 0) return;
    this.#ledger.dropped(itemId, contentIndex, samples);
    this.#host.dropped(samples);
  }
}

interface Part {
  readonly responseId: string;
  readonly itemId: string;
  readonly contentIndex: number;
  readonly outputIndex: number;
}

function readPart(event: Message): Part | undefined {
  const { response_id, item_id, content_index, output_index } = event;
  if (typeof item_id !== 'string' || item_id === '') return undefined;
  return {
    responseId: typeof response_id === 'string' && response_id !== '' ? response_id : 'unknown',
    itemId: item_id,
    contentIndex: typeof content_index === 'number' ? content_index : 0,
    outputIndex: typeof output_index === 'number' ? output_index : 0,
  };
}

function keyOf(itemId: string, contentIndex: number): string {
  return `${contentIndex} ${itemId}`;
}
