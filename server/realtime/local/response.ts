import type {
  RealtimeConversationItemAssistantMessage,
  RealtimeResponse,
  RealtimeResponseStatus,
} from 'openai/resources/realtime/realtime';
import { msToSamples, OCTETS_PER_SAMPLE, samplesToMs } from '../../../proto/voice/index.ts';
import type { AuditTrail } from './audit.ts';
import type { Conversation } from './conversation.ts';
import type { EventSink } from './events.ts';
import { shortId } from './ids.ts';
import { usageOf } from './usage.ts';

/** Audio in one delta. */
const CHUNK_MS = 100;
/** Octets waiting for the client above which no more audio is made. */
const MAX_WAITING_OCTETS = 1 << 20;
const WAIT_MS = 20;

/** The part of a response that is the same from its first event to its last. */
export type ResponseFrame = Pick<
  RealtimeResponse,
  'conversation_id' | 'output_modalities' | 'max_output_tokens' | 'audio' | 'metadata'
>;

/** What a response is going to say. */
export interface Answer {
  readonly modality: 'audio' | 'text';
  /** PCM16; empty for text. */
  readonly pcm: Uint8Array;
  readonly text: string;
}

/** One answer on its way: the events of a response in the order of the real API, its audio faster than real time. */
export class ResponseRun {
  readonly id = `resp_${shortId()}`;
  readonly itemId = `item_${shortId()}`;
  readonly #answer: Answer;
  readonly #frame: ResponseFrame;
  readonly #sink: EventSink;
  readonly #conversation: Conversation;
  readonly #trail: AuditTrail;
  readonly #speed: number;
  readonly #finished: () => void;
  #sentOctets = 0;
  #previousItemId: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(options: {
    answer: Answer;
    frame: ResponseFrame;
    sink: EventSink;
    conversation: Conversation;
    trail: AuditTrail;
    /** Seconds of audio made per second. */
    speed: number;
    finished: () => void;
  }) {
    this.#answer = options.answer;
    this.#frame = options.frame;
    this.#sink = options.sink;
    this.#conversation = options.conversation;
    this.#trail = options.trail;
    this.#speed = options.speed;
    this.#finished = options.finished;
  }

  start(): void {
    const { id, itemId } = this;
    const item = this.#item('in_progress', []);
    this.#sink.emit({ type: 'response.created', response: this.#response('in_progress') });
    this.#sink.emit({ type: 'response.output_item.added', response_id: id, output_index: 0, item });
    this.#previousItemId = this.#conversation.add(itemId, item, this.#answer.modality === 'audio');
    this.#sink.emit({ type: 'conversation.item.added', previous_item_id: this.#previousItemId, item });
    this.#sink.emit({
      type: 'response.content_part.added',
      ...this.#place(),
      part:
        this.#answer.modality === 'audio'
          ? { type: 'audio', transcript: '' }
          : ({ type: 'text', text: '' } as const),
    });
    if (this.#answer.modality === 'text') {
      this.#sink.emit({ type: 'response.output_text.delta', ...this.#place(), delta: this.#answer.text });
      this.#end('completed', { type: 'completed' });
      return;
    }
    this.#sink.emit({
      type: 'response.output_audio_transcript.delta',
      ...this.#place(),
      delta: this.#answer.text,
    });
    this.#step();
  }

  /** Stops in the middle: what was not made is never made. */
  cancel(reason: 'turn_detected' | 'client_cancelled'): void {
    if (!this.#done) this.#end('cancelled', { type: 'cancelled', reason });
  }

  /** The client has gone: stops without an event. */
  abandon(): void {
    this.#done = true;
    clearTimeout(this.#timer);
  }

  #step(): void {
    if (this.#done) return;
    if (this.#sink.bufferedAmount() > MAX_WAITING_OCTETS) {
      this.#timer = setTimeout(() => this.#step(), WAIT_MS);
      return;
    }
    const { pcm } = this.#answer;
    const chunk = pcm.subarray(
      this.#sentOctets,
      this.#sentOctets + msToSamples(CHUNK_MS) * OCTETS_PER_SAMPLE,
    );
    if (chunk.length > 0) {
      this.#sentOctets += chunk.length;
      this.#conversation.answered(this.itemId, chunk.length / OCTETS_PER_SAMPLE);
      this.#trail.answer(this.id, this.itemId, chunk);
      const delta = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('base64');
      this.#sink.emit({ type: 'response.output_audio.delta', ...this.#place(), delta });
    }
    if (this.#sentOctets >= pcm.length) this.#end('completed', { type: 'completed' });
    else this.#timer = setTimeout(() => this.#step(), CHUNK_MS / this.#speed);
  }

  #end(status: 'completed' | 'cancelled', details: RealtimeResponseStatus): void {
    this.#done = true;
    clearTimeout(this.#timer);
    const { modality, text } = this.#answer;
    const itemStatus = status === 'completed' ? 'completed' : 'incomplete';
    if (modality === 'audio') {
      this.#sink.emit({ type: 'response.output_audio.done', ...this.#place() });
      this.#sink.emit({
        type: 'response.output_audio_transcript.done',
        ...this.#place(),
        transcript: text,
      });
    } else {
      this.#sink.emit({ type: 'response.output_text.done', ...this.#place(), text });
    }
    this.#sink.emit({
      type: 'response.content_part.done',
      ...this.#place(),
      part: modality === 'audio' ? { type: 'audio', transcript: text } : { type: 'text', text },
    });
    const content =
      modality === 'audio'
        ? ({ type: 'output_audio', transcript: text } as const)
        : ({ type: 'output_text', text } as const);
    const item = this.#item(itemStatus, [content]);
    this.#conversation.replace(this.itemId, item);
    this.#sink.emit({ type: 'conversation.item.done', previous_item_id: this.#previousItemId, item });
    this.#sink.emit({ type: 'response.output_item.done', response_id: this.id, output_index: 0, item });
    this.#finished();
    this.#sink.emit({
      type: 'response.done',
      response: { ...this.#response(status), output: [item], status_details: details, usage: this.#usage() },
    });
    this.#sink.emit({
      type: 'rate_limits.updated',
      rate_limits: [{ name: 'tokens', limit: 1_000_000, remaining: 1_000_000, reset_seconds: 0 }],
    });
  }

  #place() {
    return { response_id: this.id, item_id: this.itemId, output_index: 0, content_index: 0 };
  }

  #item(
    status: 'in_progress' | 'completed' | 'incomplete',
    content: RealtimeConversationItemAssistantMessage.Content[],
  ): RealtimeConversationItemAssistantMessage {
    return { id: this.itemId, object: 'realtime.item', type: 'message', status, role: 'assistant', content };
  }

  #response(status: 'in_progress' | 'completed' | 'cancelled'): RealtimeResponse {
    return { object: 'realtime.response', id: this.id, status, output: [], ...this.#frame };
  }

  #usage() {
    const seconds = samplesToMs(this.#sentOctets / OCTETS_PER_SAMPLE) / 1000;
    return usageOf({ text: this.#answer.text, seconds });
  }
}
