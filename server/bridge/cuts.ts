import { randomUUID } from 'node:crypto';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import {
  type AnswerLedger,
  isId,
  MAX_CLEARED_RESPONSES,
  type Message,
  type PlaybackPositionMessage,
  type Truncation,
} from '../../proto/voice/index.ts';
import { LazySet } from '../../proto/wire/index.ts';
import type { Answers } from './answers.ts';
import { OWN_EVENT_PREFIX } from './own-events.ts';

/** Out-of-band responses that a page may have asked for and the upstream not begun. */
const MAX_AWAITED_OUT_OF_BAND = 64;

/** What the cuts need of their session. */
export interface CutsHost {
  /** Tells the page. */
  tell(message: Message): void;
  /** Tells the upstream. */
  send(event: RealtimeClientEvent): void;
}

/**
 * Decides what stops an answer, and says so everywhere: the streams on their way, the page's playback, and the upstream, whose
 * conversation is to hold what the caller heard. A cut is a fact about a response: whatever arrives of it later is dropped.
 */
export class Cuts {
  readonly #ledger: AnswerLedger;
  readonly #answers: Answers;
  readonly #host: CutsHost;
  readonly #clearTimeoutMs: number;
  /** One for each clear that the page may still answer. */
  readonly #timers = new LazySet<NodeJS.Timeout>();
  #awaitedOutOfBand = 0;
  #lastResponse: string | undefined;
  /** Of an upstream that is gone: played on until the next answer begins. */
  #unfinished: string[] = [];
  /** Of another backend, whose ledger is not here: played on until something cuts what is heard. */
  #elsewhere: string[] = [];

  /** `clearTimeoutMs`: how long a page may take to say where playback stopped; then its last report counts. */
  constructor(ledger: AnswerLedger, answers: Answers, clearTimeoutMs: number, host: CutsHost) {
    this.#ledger = ledger;
    this.#answers = answers;
    this.#clearTimeoutMs = clearTimeoutMs;
    this.#host = host;
  }

  /** The caller speaks, and speech interrupts. True when there was something to cut. */
  bargeIn(): boolean {
    return this.#cutUnheard() > 0;
  }

  /** `parley.interrupt`: the model is to stop, with turn detection or without. */
  interrupt(): void {
    for (const responseId of this.#ledger.activeResponses) this.#cancel(responseId);
    this.#cutUnheard();
  }

  /** More of this response waits than may. */
  overflow(responseId: string): void {
    if (this.#ledger.activeResponses.includes(responseId)) this.#cancel(responseId);
    this.#cut([responseId]);
  }

  /** Looks at an event of the page that means an answer. False when the upstream does not know it: it is not passed on. */
  pageEvent(event: Message): boolean {
    switch (event.type) {
      case 'response.cancel':
        if (isId(event.response_id)) this.#cut([event.response_id]);
        else if (event.response_id === undefined) this.#cutUnheard(true);
        break;
      case 'response.create': {
        const { response } = event as { response?: { conversation?: unknown } | null };
        if (response?.conversation === 'none' && this.#awaitedOutOfBand < MAX_AWAITED_OUT_OF_BAND)
          this.#awaitedOutOfBand += 1;
        break;
      }
      case 'conversation.item.truncate':
        if (typeof event.item_id === 'string') this.#truncatedByPage(event.item_id, event.content_index);
        break;
      case 'conversation.item.delete':
        if (typeof event.item_id === 'string') this.#ledger.itemDeleted(event.item_id);
        break;
      case 'output_audio_buffer.clear':
        this.#clearBuffer();
        return false;
    }
    return true;
  }

  /** Looks at an event of the upstream. False when it is an answer to the bridge's own doing and none of the page's business. */
  upstreamEvent(event: Message): boolean {
    switch (event.type) {
      case 'response.created':
        this.#created(event);
        break;
      case 'response.output_audio.done':
        this.#truncate(this.#answers.done(event));
        break;
      case 'response.done':
        this.#done(event);
        break;
      case 'conversation.item.deleted':
        if (typeof event.item_id === 'string') this.#ledger.itemDeleted(event.item_id);
        break;
      case 'error': {
        const { error } = event as { error?: { event_id?: unknown } | null };
        return typeof error?.event_id !== 'string' || !error.event_id.startsWith(OWN_EVENT_PREFIX);
      }
    }
    return true;
  }

  /** The page's report of what it played. */
  position(message: PlaybackPositionMessage): void {
    const truncation = this.#ledger.position(message);
    if (truncation !== undefined) this.#truncate([truncation]);
  }

  /** The page has stopped these responses and reported every position of theirs. */
  cleared(responseIds: readonly string[]): void {
    this.#truncate(this.#ledger.cleared(responseIds));
  }

  /** Another upstream goes on: what the last one left unfinished ends where the next answer begins. */
  upstreamReplaced(): void {
    this.#awaitedOutOfBand = 0;
    const unfinished = this.#ledger.upstreamReplaced();
    this.#unfinished = [...this.#unfinished, ...unfinished].slice(-MAX_CLEARED_RESPONSES);
    this.#answers.cut(unfinished);
  }

  /** The page still plays these responses, which another backend carried. */
  heardElsewhere(responseIds: readonly string[]): void {
    this.#elsewhere = [...responseIds];
  }

  /** Audio of an answer is about to be sent. */
  answerBegins(): void {
    if (this.#unfinished.length === 0) return;
    this.#clear(this.#unfinished.splice(0));
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Cuts all that is heard or to be heard. Gives the number of responses of which the page had something to play. */
  #cutUnheard(conversationOnly = false): number {
    const elsewhere = this.#elsewhere.splice(0);
    this.#clear(elsewhere);
    return elsewhere.length + this.#cut(this.#ledger.unheard(conversationOnly));
  }

  /** Gives the number of responses of which the page had something to play. */
  #cut(responseIds: readonly string[]): number {
    const audible = this.#ledger.cut(responseIds);
    this.#answers.cut(responseIds);
    this.#clear([...this.#unfinished.splice(0), ...audible]);
    return audible.length;
  }

  #clear(audible: readonly string[]): void {
    for (let at = 0; at < audible.length; at += MAX_CLEARED_RESPONSES) {
      const some = audible.slice(at, at + MAX_CLEARED_RESPONSES);
      this.#host.tell({ type: 'parley.playback.clear', responseIds: some });
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.cleared(some);
      }, this.#clearTimeoutMs);
      this.#timers.add(timer);
    }
  }

  #cancel(responseId: string): void {
    const event_id = `${OWN_EVENT_PREFIX}${randomUUID()}`;
    this.#host.send({ type: 'response.cancel', event_id, response_id: responseId });
  }

  #truncate(truncations: readonly Truncation[]): void {
    for (const { itemId, contentIndex, audioEndMs } of truncations) {
      this.#host.send({
        type: 'conversation.item.truncate',
        item_id: itemId,
        content_index: contentIndex,
        audio_end_ms: audioEndMs,
      });
    }
  }

  #truncatedByPage(itemId: string, contentIndex: unknown): void {
    this.#ledger.truncatedByPage(itemId, typeof contentIndex === 'number' ? contentIndex : 0);
    const responseId = this.#ledger.responseOf(itemId);
    if (responseId !== undefined) this.#cut([responseId]);
  }

  /** The WebSocket API knows no such event: over WebRTC the API does what the bridge does here. */
  #clearBuffer(): void {
    const unheard = [...this.#elsewhere, ...this.#ledger.unheard()];
    this.#cutUnheard();
    const named = unheard.length > 0 || this.#lastResponse === undefined ? unheard : [this.#lastResponse];
    for (const response_id of named) {
      const event_id = `event_${randomUUID()}`;
      this.#host.tell({ type: 'output_audio_buffer.cleared', event_id, response_id });
    }
  }

  #created(event: Message): void {
    const { response } = event as {
      response?: { id?: unknown; conversation_id?: unknown; conversation?: unknown } | null;
    };
    if (!isId(response?.id)) return;
    this.#lastResponse = response.id;
    const { conversation_id, conversation } = response;
    let outOfBand = conversation_id === null || conversation === 'none';
    // An upstream that does not say where a response belongs: those that were asked for come in order.
    if (conversation_id === undefined && this.#awaitedOutOfBand > 0) outOfBand = true;
    if (outOfBand && this.#awaitedOutOfBand > 0) this.#awaitedOutOfBand -= 1;
    this.#ledger.responseCreated(response.id, !outOfBand);
  }

  #done(event: Message): void {
    const { response } = event as {
      response?: { id?: unknown; status?: unknown; status_details?: { reason?: unknown } | null } | null;
    };
    if (!isId(response?.id)) return;
    const { id, status, status_details } = response;
    // What is incomplete for its length was said so far and is heard; what a filter stopped should not be.
    const filtered = status === 'incomplete' && status_details?.reason === 'content_filter';
    if (status === 'cancelled' || status === 'failed' || filtered) this.#cut([id]);
    this.#truncate(this.#answers.responseDone(id));
  }
}
