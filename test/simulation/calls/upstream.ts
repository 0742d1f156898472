import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../../proto/voice/index.ts';
import { OWN_EVENT_PREFIX } from '../../../server/bridge/own-events.ts';
import type { Upstream, UpstreamEnd } from '../../../server/realtime/index.ts';
import type { SeededRandom } from '../random.ts';
import { type ItemKind, kindOf, textOf } from './item-text.ts';
import { isSpeech, LOCATABLE, locate, samplesFrom, valuesOf } from './samples.ts';
import type { ModelTime } from './virtual-time.ts';

/** Silence behind speech that ends a turn, in samples. */
const TURN_END_SAMPLES = 24 * 240;
const PIECE_SAMPLES = 24 * 120;
const PIECE_EVERY_MS = 30;

/** A turn of the caller, as the conversation holds it: samples of the call from the last commit to this one. */
export interface Heard {
  readonly from: number;
  readonly to: number;
}

/** One item of an upstream's conversation. */
export interface ModelItem {
  readonly id: string;
  readonly kind: ItemKind;
  /** It was given by the bridge, and not made here. */
  readonly restored: boolean;
  readonly heard: Heard | undefined;
  /** What was said, of an item that was restored. */
  text: string;
}

/** What the upstreams of a call tell the checkers. */
export interface UpstreamWitness {
  audio(upstream: ModelUpstream, values: Uint16Array, at: number | undefined): void;
  pageEvent(upstream: ModelUpstream, event: Message): void;
  item(upstream: ModelUpstream, item: ModelItem): void;
  emitted(upstream: ModelUpstream, event: Message): void;
  /** The conversation is to hold so much of an answer. */
  truncated(itemId: string, audioEndMs: number): void;
  /** A response begins. */
  response(upstream: ModelUpstream, response: ModelResponse): void;
}

export interface ModelResponse {
  readonly id: string;
  readonly itemId: string;
  /** Number of the page's `response.create` that asked for it. */
  readonly create: number | undefined;
  readonly tag: number;
  readonly samples: number;
  readonly tool: boolean;
  sent: number;
  state: 'running' | 'done' | 'cut';
}

export interface ModelOptions {
  readonly number: number;
  readonly callerTag: number;
  readonly delayMs: number;
  /** Whether it finds the end of a turn by itself. */
  readonly detectsTurns: boolean;
  readonly lateTranscripts: boolean;
  /** Where the first audio stands in a call that is longer than its samples can say (2^23 of them). */
  locate?(values: Uint16Array): number | undefined;
  /** Samples of the next answer, and its tag. */
  nextAnswer(): { readonly samples: number; readonly tag: number; readonly tool: boolean };
}

/** A model of the Realtime API: hears audio, finds turns or is told of them, answers, keeps a conversation, can be truncated and cancelled. */
export class ModelUpstream implements Upstream {
  readonly kind = 'local';
  readonly number: number;
  readonly items: ModelItem[] = [];
  readonly responses: ModelResponse[] = [];
  /** First sample of the call that it heard, and the one behind the last; undefined until it heard enough to know. */
  first: number | undefined;
  position: number | undefined;
  committed: number | undefined;
  instructions: unknown;
  cleared: Heard[] = [];
  /** Events by which it answers what the bridge gave it, and which are none of the page's business. */
  readonly restoredEchoes = new Set<string>();
  isOpen = false;
  over = false;
  /** Takes nothing until then. */
  stalledUntil = 0;
  readonly #time: ModelTime;
  readonly #random: SeededRandom;
  readonly #witness: UpstreamWitness;
  readonly #options: ModelOptions;
  #onOpen: (() => void) | undefined;
  #onEvent: ((event: Message) => void) | undefined;
  #onClose: ((end: UpstreamEnd) => void) | undefined;
  #early: Message[] = [];
  #ended: UpstreamEnd | undefined;
  #buffered = 0;
  #inAt = 0;
  readonly #waiting: string[] = [];
  #outAt = 0;
  #pending: Uint16Array[] = [];
  #heardSamples = 0;
  #events = 0;
  #silence = 0;
  #speaking = false;
  #running: ModelResponse | undefined;
  #wanted: (number | undefined)[] = [];

  constructor(time: ModelTime, random: SeededRandom, witness: UpstreamWitness, options: ModelOptions) {
    this.#time = time;
    this.#random = random;
    this.#witness = witness;
    this.#options = options;
    this.number = options.number;
  }

  /** Nothing is being answered, or is to be. */
  get idle(): boolean {
    return this.#running === undefined && this.#wanted.length === 0 && !this.#speaking;
  }

  get bufferedAmount(): number {
    return this.#buffered;
  }

  onOpen(listener: () => void): void {
    if (this.isOpen) listener();
    else this.#onOpen = listener;
  }

  onEvent(listener: (event: Message) => void): void {
    this.#onEvent = listener;
    for (const event of this.#early.splice(0)) listener(event);
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined) listener(this.#ended);
    else this.#onClose = listener;
  }

  /** The socket is open. */
  open(): void {
    if (this.over) return;
    this.isOpen = true;
    this.#emit({ type: 'session.created', session: { id: `sess_${this.number}`, type: 'realtime' } });
    this.#onOpen?.();
  }

  /** It ends, and does not say goodbye. */
  fail(code: UpstreamEnd['code'], closeCode?: number): void {
    if (this.over) return;
    this.over = true;
    this.isOpen = false;
    this.#ended = { code, message: 'The speech model went away.', closeCode };
    this.#onClose?.(this.#ended);
  }

  send(event: RealtimeClientEvent): void {
    this.sendText(JSON.stringify(event));
  }

  sendText(json: string): void {
    if (!this.isOpen) return;
    this.#buffered += json.length;
    const { now } = this.#time;
    this.#inAt = Math.max(this.#inAt, now + this.#options.delayMs);
    this.#time.schedule.at(this.#inAt, () => this.#arrive(json));
  }

  pause(): void {}
  resume(): void {}

  close(): void {
    this.over = true;
    this.isOpen = false;
  }

  #arrive(json: string): void {
    this.#waiting.push(json);
    this.#take();
  }

  /** All that waits, in order, unless it takes nothing just now. */
  #take(): void {
    const wait = this.stalledUntil - this.#time.now;
    if (wait > 0) {
      this.#time.later(wait, () => this.#take());
      return;
    }
    for (let json = this.#waiting.shift(); json !== undefined; json = this.#waiting.shift()) {
      if (this.over) return;
      this.#buffered -= json.length;
      this.#receive(JSON.parse(json) as Message);
    }
  }

  #receive(event: Message): void {
    const own = String(event.event_id ?? '').startsWith(OWN_EVENT_PREFIX);
    if (own && event.type === 'session.update') this.restoredEchoes.add('session.updated');
    if (event.type === 'input_audio_buffer.append') {
      this.#hear(valuesOf(Buffer.from(String(event.audio), 'base64')));
      return;
    }
    if (!own && event.type !== 'conversation.item.truncate') this.#witness.pageEvent(this, event);
    switch (event.type) {
      case 'session.update': {
        const session = event.session as { instructions?: unknown };
        if (session.instructions !== undefined) this.instructions = session.instructions;
        this.#emit({
          type: 'session.updated',
          session: {
            ...session,
            id: `sess_${this.number}`,
            type: 'realtime',
            instructions: this.instructions,
          },
        });
        break;
      }
      case 'conversation.item.create':
        this.#create(event.item as Record<string, unknown>, own);
        break;
      case 'conversation.item.truncate':
        this.#witness.truncated(String(event.item_id), Number(event.audio_end_ms));
        this.#emit({
          type: 'conversation.item.truncated',
          item_id: event.item_id,
          content_index: 0,
          audio_end_ms: event.audio_end_ms,
        });
        break;
      case 'input_audio_buffer.commit':
        this.#commit();
        break;
      case 'input_audio_buffer.clear':
        this.#clear();
        break;
      case 'response.create':
        this.#wanted.push((event.response as { metadata: { number: number } }).metadata.number);
        this.#answerNext();
        break;
      case 'response.cancel':
        this.#cancel();
        break;
    }
  }

  #create(item: Record<string, unknown>, restored: boolean): void {
    const id = String(item.id);
    const text = textOf(item);
    const kind = kindOf(item, text);
    const [, from, to] = /^heard (\d+) (\d+)/.exec(text) ?? [];
    const heard = from === undefined ? undefined : { from: Number(from), to: Number(to) };
    if (restored)
      for (const echo of ['added', 'done']) this.restoredEchoes.add(`conversation.item.${echo} ${id}`);
    this.#add({ id, kind, restored, heard, text });
    this.#emit({ type: 'conversation.item.added', item });
    this.#emit({ type: 'conversation.item.done', item });
  }

  #add(item: ModelItem): void {
    this.items.push(item);
    this.#witness.item(this, item);
  }

  #hear(values: Uint16Array): void {
    const { callerTag } = this.#options;
    if (this.position === undefined) {
      this.#pending.push(values);
      const joined = Uint16Array.from(this.#pending.flatMap((some) => [...some]));
      if (joined.length < LOCATABLE) return;
      this.#pending = [];
      const at = this.#options.locate?.(joined) ?? locate(joined, callerTag);
      this.#witness.audio(this, joined, at);
      this.first = at ?? 0;
      this.position = this.first;
      this.committed = this.first;
      this.#listen(joined);
      return;
    }
    this.#witness.audio(this, values, this.position);
    this.#listen(values);
  }

  #listen(values: Uint16Array): void {
    if (!this.#options.detectsTurns) {
      this.position! += values.length;
      this.#heardSamples += values.length;
      return;
    }
    for (let i = 0; i < values.length; i++) {
      this.position! += 1;
      this.#heardSamples += 1;
      if ((this.position! & 1) === 0) this.#detect(isSpeech(values[i]!));
    }
  }

  #detect(speech: boolean): void {
    if (speech) {
      this.#silence = 0;
      if (this.#speaking) return;
      this.#speaking = true;
      this.#emit({
        type: 'input_audio_buffer.speech_started',
        audio_start_ms: this.#heardMs,
        item_id: this.#nextItemId,
      });
      if (this.#running !== undefined) this.#cancel();
      return;
    }
    if (!this.#speaking) return;
    this.#silence += 2;
    if (this.#silence < TURN_END_SAMPLES) return;
    this.#speaking = false;
    this.#emit({
      type: 'input_audio_buffer.speech_stopped',
      audio_end_ms: this.#heardMs,
      item_id: this.#nextItemId,
    });
    this.#commit();
    this.#wanted.push(undefined);
    this.#answerNext();
  }

  get #heardMs(): number {
    return Math.floor(this.#heardSamples / 24);
  }

  get #nextItemId(): string {
    return `item_${this.number}_${this.items.length}`;
  }

  #commit(): void {
    const { position, committed } = this;
    if (position === undefined || committed === undefined || position === committed) {
      this.#emit({
        type: 'error',
        error: { type: 'invalid_request_error', code: 'input_audio_buffer_commit_empty', message: 'empty' },
      });
      return;
    }
    this.committed = position;
    const heard = { from: committed, to: position };
    const id = this.#nextItemId;
    const text = `heard ${heard.from} ${heard.to}`;
    const previous = this.items.at(-1)?.id ?? null;
    this.#emit({ type: 'input_audio_buffer.committed', item_id: id, previous_item_id: previous });
    this.#add({ id, kind: 'caller', restored: false, heard, text });
    const item = { id, type: 'message', role: 'user', content: [{ type: 'input_audio', transcript: null }] };
    this.#emit({ type: 'conversation.item.added', previous_item_id: previous, item });
    this.#emit({ type: 'conversation.item.done', previous_item_id: previous, item });
    const transcribed = {
      type: 'conversation.item.input_audio_transcription.completed',
      item_id: id,
      content_index: 0,
      transcript: text,
    };
    if (this.#options.lateTranscripts)
      this.#later(this.#random.integer(1, 400), () => this.#emit(transcribed));
    else this.#emit(transcribed);
  }

  #clear(): void {
    if (this.position !== undefined && this.committed !== undefined)
      this.cleared.push({ from: this.committed, to: this.position });
    this.committed = this.position;
    this.#speaking = false;
    this.#emit({ type: 'input_audio_buffer.cleared' });
  }

  #answerNext(): void {
    if (this.#running !== undefined || this.#wanted.length === 0) return;
    const create = this.#wanted.shift();
    const { samples, tag, tool } = this.#options.nextAnswer();
    const id = `resp_${this.number}_${this.responses.length}`;
    const response: ModelResponse = {
      id,
      itemId: `answer_${tag}`,
      create,
      tag,
      samples,
      tool,
      sent: 0,
      state: 'running',
    };
    this.responses.push(response);
    this.#running = response;
    this.#witness.response(this, response);
    const item = tool
      ? { id: response.itemId, type: 'function_call', call_id: `call_${tag}`, name: 'look_up', arguments: '' }
      : { id: response.itemId, type: 'message', role: 'assistant', content: [] };
    const metadata = create === undefined ? null : { number: create };
    const begun = { id, conversation_id: 'conv', status: 'in_progress', metadata };
    this.#emit({ type: 'response.created', response: begun });
    this.#later(60, () => {
      if (response.state !== 'running') return;
      this.#emit({ type: 'response.output_item.added', response_id: id, output_index: 0, item });
      this.#emit({ type: 'conversation.item.added', previous_item_id: this.items.at(-1)?.id ?? null, item });
      this.#add({
        id: response.itemId,
        kind: tool ? 'call' : 'answer',
        restored: false,
        heard: undefined,
        text: '',
      });
      this.#later(PIECE_EVERY_MS, () => (tool ? this.#finish(response) : this.#speak(response)));
    });
  }

  #speak(response: ModelResponse): void {
    if (response.state !== 'running') return;
    if (response.sent >= response.samples) {
      this.#finish(response);
      return;
    }
    const count = Math.min(PIECE_SAMPLES, response.samples - response.sent);
    const pcm = samplesFrom(response.sent, count, response.tag);
    response.sent += count;
    const delta = Buffer.from(pcm.buffer).toString('base64');
    this.#emit({ ...this.#part(response), type: 'response.output_audio.delta', delta });
    this.#later(PIECE_EVERY_MS, () => this.#speak(response));
  }

  #part(response: ModelResponse): object {
    return { response_id: response.id, item_id: response.itemId, output_index: 0, content_index: 0 };
  }

  #finish(response: ModelResponse): void {
    const words = `said ${response.tag} and so on and on, up to the end of it`;
    const item = this.items.find(({ id }) => id === response.itemId);
    if (item !== undefined) item.text = words;
    const whole = response.tool
      ? {
          id: response.itemId,
          type: 'function_call',
          call_id: `call_${response.tag}`,
          name: 'look_up',
          arguments: '{"n":1}',
        }
      : {
          id: response.itemId,
          type: 'message',
          role: 'assistant',
          content: [{ type: 'output_audio', transcript: words }],
        };
    if (!response.tool) {
      this.#emit({
        ...this.#part(response),
        type: 'response.output_audio_transcript.done',
        transcript: words,
      });
      this.#emit({ ...this.#part(response), type: 'response.output_audio.done' });
    }
    this.#emit({ type: 'response.output_item.done', response_id: response.id, output_index: 0, item: whole });
    this.#emit({ type: 'conversation.item.done', item: whole });
    this.#end(response, 'done', [whole]);
  }

  #cancel(): void {
    const response = this.#running;
    if (response === undefined) return;
    const { itemId: id } = response;
    const partial = { id, type: 'message', role: 'assistant', content: [] };
    this.#end(response, 'cut', response.sent > 0 ? [partial] : []);
  }

  #end(response: ModelResponse, state: 'done' | 'cut', output: readonly object[]): void {
    response.state = state;
    this.#running = undefined;
    const status = state === 'done' ? 'completed' : 'cancelled';
    this.#emit({
      type: 'response.done',
      response: { id: response.id, conversation_id: 'conv', status, output },
    });
    this.#answerNext();
  }

  #later(ms: number, action: () => void): void {
    this.#time.later(ms, () => {
      if (!this.over) action();
    });
  }

  #emit(event: Record<string, unknown> & { type: string }): void {
    const full: Message = { event_id: `event_${this.number}_${this.#events++}`, ...event };
    const { now } = this.#time;
    this.#outAt = Math.max(this.#outAt, now + this.#options.delayMs);
    this.#time.schedule.at(this.#outAt, () => {
      if (this.over) return;
      this.#witness.emitted(this, full);
      if (this.#onEvent === undefined) this.#early.push(full);
      else this.#onEvent(full);
    });
  }
}
