import { LazyMap, LazySet } from '../../wire/index.ts';
import type { Message } from '../messages.ts';
import { msToSamples } from '../pcm.ts';
import { ItemRecord, itemOf, OWN_ITEM_PREFIX, type RestorableItem } from './conversation-items.ts';
import { MAX_GONE_ITEMS, MAX_ITEM_NAME_LENGTH } from './messages.ts';
import { PageEventCoverage } from './page-event-coverage.ts';
import { restorableSession } from './restorable-session.ts';

/** Items remembered; the oldest are left out first, and counted. */
export const MAX_RECORD_ITEMS = 512;
/** Octets of their texts. */
export const MAX_RECORD_OCTETS = 256 * 1024;

/** A conversation as it can be given to a fresh upstream, and from where on the page has to send again what came after. */
export interface ConversationSnapshot {
  /** The `session` of a `session.update`; undefined when the upstream never said what it is. */
  readonly session: Record<string, unknown> | undefined;
  readonly items: readonly RestorableItem[];
  /** Items that came before these and are left out. */
  readonly omittedItems: number;
  /**
   * Items that were part of the conversation, are not among these, and do not count as omitted: turns whose audio is said again,
   * what the page sends again behind them, answers that broke off. In their order, `MAX_GONE_ITEMS` at most.
   */
  readonly goneItems: readonly string[];
  /** Microphone samples that these items hold: audio from here on belongs to no item among them. */
  readonly microphoneSamples: number;
  /** Numbered events of the page whose effect is among these items; those from here on are to be sent again, */
  readonly pageEvents: number;
  /** but for these. */
  readonly coveredPageEvents: readonly number[];
}

interface AudioTurn {
  readonly itemId: string;
  /** Sample behind the last one of the turn. */
  readonly endSample: number;
  /** Response that answers it, once there is one. */
  responseId: string | undefined;
  settled: boolean;
}

/**
 * Follows a conversation by its events, so that it can be restored onto a fresh upstream. A turn of the caller counts as
 * settled when its response is over: then its words are an item of text. Until then the page keeps its audio and sends it again,
 * and the fresh upstream hears it and answers, as the first one would have.
 */
export class ConversationRecord {
  readonly #items = new LazyMap<string, ItemRecord>();
  readonly #coverage = new PageEventCoverage();
  #order: string[] = [];
  #turns: AudioTurn[] = [];
  #session: Record<string, unknown> | undefined;
  #octets = 0;
  #omitted = 0;
  /** Call's sample at which the upstream's own count of ms began. */
  #baseSample = 0;
  #sentSamples = 0;
  #settledSamples = 0;
  #speechEndSample: number | undefined;
  /** The upstream found the end of a turn and answers it of its own accord: the next response is no page's doing. */
  #answersTurn = false;
  readonly #runningResponses = new LazySet<string>();

  /** Items known, those of responses that are being made included. */
  get size(): number {
    return this.#items.size;
  }

  /** Octets of the texts kept, about. */
  get octets(): number {
    return this.#octets;
  }

  /** Goes on from what was restored: by another backend, or by this one onto a fresh upstream. */
  restore(snapshot: ConversationSnapshot): void {
    this.#items.clear();
    this.#order = [];
    this.#turns = [];
    this.#octets = 0;
    this.#runningResponses.clear();
    this.#session = snapshot.session;
    this.#omitted = snapshot.omittedItems;
    this.#baseSample = snapshot.microphoneSamples;
    this.#sentSamples = snapshot.microphoneSamples;
    this.#settledSamples = snapshot.microphoneSamples;
    this.#speechEndSample = undefined;
    this.#answersTurn = false;
    this.#coverage.restore(snapshot.pageEvents, snapshot.coveredPageEvents);
    for (const item of snapshot.items) {
      const record = this.#item(item.id);
      record.update(item);
      record.finished = true;
    }
  }

  /** Microphone samples were handed to the upstream: so many of the call by now. */
  microphone(samples: number): void {
    this.#sentSamples = samples;
  }

  /** The page's event of this number was handed to the upstream; `samples` of the microphone before it, when it is bound to them. */
  pageEvent(number: number, event: Message, samples?: number): void {
    this.#coverage.sent(number, event, samples);
    if (event.type === 'session.update' && typeof event.session === 'object' && event.session !== null)
      this.#session = {
        ...this.#session,
        ...(restorableSession(event.session as Record<string, unknown>) ?? {}),
      };
  }

  /** An event of the upstream. Never throws, whatever it holds. */
  upstreamEvent(event: Message): void {
    switch (event.type) {
      case 'session.created':
      case 'session.updated':
        this.#sessionIs(event);
        break;
      case 'conversation.item.added':
      case 'conversation.item.created':
      case 'conversation.item.done':
      case 'response.output_item.added':
      case 'response.output_item.done':
        this.#itemIs(event);
        break;
      case 'conversation.item.deleted':
        this.#forget(String(event.item_id));
        break;
      case 'conversation.item.truncated':
        this.#truncated(event);
        break;
      case 'conversation.item.input_audio_transcription.completed':
      case 'response.output_audio_transcript.done':
        this.#words(event, event.transcript, 'audio');
        break;
      case 'response.output_text.done':
        this.#words(event, event.text, 'text');
        break;
      case 'input_audio_buffer.speech_stopped':
        this.#speechStopped(event);
        break;
      case 'input_audio_buffer.committed':
        this.#committed(event);
        break;
      case 'input_audio_buffer.cleared':
        this.#cleared();
        break;
      case 'response.created':
        this.#responseBegins(responseIdOf(event), event);
        break;
      case 'response.done':
        this.#responseEnds(responseIdOf(event), event);
        break;
      case 'error':
        this.#refused(event);
        break;
    }
  }

  /** Audio of an answer came from the upstream: what a cut in ms is a share of. */
  answerAudio(itemId: string, contentIndex: number, samples: number): void {
    const record = this.#items.get(itemId);
    if (record !== undefined) record.part(contentIndex).samples += samples;
  }

  /** The conversation as it stands. */
  snapshot(): ConversationSnapshot {
    const items: RestorableItem[] = [];
    let omitted = this.#omitted;
    const unsettled = new Set(this.#turns.filter(({ settled }) => !settled).map(({ itemId }) => itemId));
    // What stands behind a turn that will be said again, and would stand before it in the fresh conversation: the page sends
    // its items again, behind that turn. An answer was begun before it was said, or it would answer that turn.
    const leftOut = new Set<string>();
    const goneItems: string[] = [];
    let behind = false;
    for (const id of this.#order) {
      const record = this.#items.get(id);
      if (record === undefined) continue;
      if (unsettled.has(id)) behind = true;
      if (behind && (record.byPage || !isOfResponse(record))) {
        leftOut.add(id);
        goneItems.push(id);
        continue;
      }
      if (!record.finished) {
        goneItems.push(id);
        continue;
      }
      const item = record.restorable();
      if (item === undefined) omitted += 1;
      else items.push(item);
    }
    const { covered, beyond } = this.#coverage.covered(this.#settledSamples, leftOut);
    return {
      session: this.#session,
      items,
      omittedItems: omitted,
      goneItems: goneItems.filter((id) => id.length <= MAX_ITEM_NAME_LENGTH).slice(0, MAX_GONE_ITEMS),
      microphoneSamples: this.#settledSamples,
      pageEvents: covered,
      coveredPageEvents: beyond,
    };
  }

  #sessionIs(event: Message): void {
    const { session } = event;
    if (typeof session !== 'object' || session === null) return;
    this.#session = restorableSession(session as Record<string, unknown>) ?? this.#session;
    if (event.type === 'session.updated') this.#coverage.sessionUpdated();
  }

  #itemIs(event: Message): void {
    const item = itemOf(event);
    if (item === undefined) return;
    const id = item.id as string;
    const known = this.#items.has(id);
    const record = this.#item(id, event.previous_item_id);
    const before = record.octets;
    record.update(item);
    this.#octets += record.octets - before;
    if (event.type.startsWith('response.')) record.responseId ??= responseIdOf(event);
    const ofResponse = record.responseId !== undefined || isOfResponse(record);
    const own = id.startsWith(OWN_ITEM_PREFIX);
    if (!known && !record.fromMicrophone && !this.#turns.some(({ itemId }) => itemId === id))
      record.byPage = this.#coverage.itemCreated(id, !ofResponse && !own);
    if (record.byPage || !ofResponse || this.#runningResponses.size === 0) record.finished = true;
    this.#bound();
  }

  /** The record of an item: where it stands in the conversation is said when it is first seen. */
  #item(id: string, previousItemId?: unknown): ItemRecord {
    const found = this.#items.get(id);
    if (found !== undefined) return found;
    const record = new ItemRecord(id);
    this.#items.set(id, record);
    this.#octets += record.octets;
    const at = typeof previousItemId === 'string' ? this.#order.lastIndexOf(previousItemId) : -1;
    if (at >= 0 && at < this.#order.length - 1) this.#order.splice(at + 1, 0, id);
    else this.#order.push(id);
    return record;
  }

  #forget(id: string): void {
    const record = this.#items.get(id);
    if (record === undefined) return;
    this.#octets -= record.octets;
    this.#items.delete(id);
    this.#order = this.#order.filter((other) => other !== id);
    this.#settle(id);
  }

  #bound(): void {
    while (this.#items.size > MAX_RECORD_ITEMS || this.#octets > MAX_RECORD_OCTETS) {
      const oldest = this.#order[0];
      if (oldest === undefined) return;
      this.#forget(oldest);
      this.#omitted += 1;
    }
  }

  #words(event: Message, words: unknown, kind: 'audio' | 'text'): void {
    const { item_id, content_index } = event;
    if (typeof item_id !== 'string' || typeof words !== 'string') return;
    const record = this.#items.get(item_id);
    if (record === undefined) return;
    const part = record.part(typeof content_index === 'number' ? content_index : 0, kind);
    if (part.cutMs === undefined) {
      this.#octets += 2 * (words.length - part.text.length);
      part.text = words;
    }
    this.#bound();
  }

  #truncated(event: Message): void {
    const { item_id, content_index, audio_end_ms } = event;
    if (typeof item_id !== 'string' || typeof audio_end_ms !== 'number') return;
    const part = this.#items.get(item_id)?.part(typeof content_index === 'number' ? content_index : 0);
    if (part !== undefined)
      part.cutMs = Math.min(part.cutMs ?? Number.POSITIVE_INFINITY, Math.max(0, audio_end_ms));
  }

  #speechStopped({ audio_end_ms }: Message): void {
    if (typeof audio_end_ms !== 'number' || !(audio_end_ms >= 0)) return;
    this.#speechEndSample = Math.min(this.#sentSamples, this.#baseSample + msToSamples(audio_end_ms));
  }

  /** A turn: up to where speech stopped, when the upstream found that by itself, else all that it had. */
  #committed({ item_id, previous_item_id }: Message): void {
    if (typeof item_id !== 'string' || item_id === '') return;
    const record = this.#item(item_id, previous_item_id);
    record.role = 'user';
    record.fromMicrophone = true;
    record.finished = true;
    const bySpeech = this.#speechEndSample;
    this.#speechEndSample = undefined;
    if (bySpeech !== undefined && this.#runningResponses.size === 0)
      this.#answersTurn = answersTurns(this.#session);
    const endSample = bySpeech ?? this.#coverage.committedAt() ?? this.#sentSamples;
    const last = this.#turns.at(-1)?.endSample ?? this.#settledSamples;
    this.#turns.push({
      itemId: item_id,
      endSample: Math.max(last, endSample),
      responseId: undefined,
      settled: false,
    });
    // A caller who never gets an answer: the oldest turns count as settled, with whatever is known of their words.
    if (this.#turns.length > MAX_UNSETTLED_TURNS) this.#settle(this.#turns[0]!.itemId);
    this.#bound();
  }

  /** What was not committed is gone by the page's own wish: it is not to be said again. */
  #cleared(): void {
    const at = this.#coverage.clearedAt() ?? this.#sentSamples;
    if (this.#turns.length === 0) this.#settledSamples = Math.max(this.#settledSamples, at);
    this.#speechEndSample = undefined;
  }

  #responseBegins(responseId: string | undefined, event: Message): void {
    if (responseId === undefined) return;
    const { response } = event as { response?: { conversation_id?: unknown } };
    // Out of band: it answers no turn.
    const outOfBand = response?.conversation_id === null;
    this.#coverage.responseBegan(responseId, event, !outOfBand && this.#answersTurn);
    if (outOfBand) return;
    this.#answersTurn = false;
    if (this.#runningResponses.size < MAX_RUNNING_RESPONSES) this.#runningResponses.add(responseId);
    for (const turn of this.#turns) turn.responseId ??= responseId;
  }

  #responseEnds(responseId: string | undefined, event: Message): void {
    if (responseId === undefined) return;
    this.#runningResponses.delete(responseId);
    const { response } = event as { response?: { output?: unknown } };
    if (Array.isArray(response?.output))
      for (const item of response.output)
        if (typeof item === 'object' && item !== null) this.#outputItem(item, responseId);
    for (const record of this.#items.values())
      if (record.responseId === responseId || this.#runningResponses.size === 0) record.finished = true;
    for (const turn of this.#turns) if (turn.responseId === responseId) turn.settled = true;
    this.#coverage.responseEnded(responseId);
    this.#advance();
  }

  #outputItem(item: object, responseId: string): void {
    const { id } = item as { id?: unknown };
    const record = typeof id === 'string' ? this.#items.get(id) : undefined;
    if (record === undefined) return;
    const before = record.octets;
    record.update(item as Record<string, unknown>);
    this.#octets += record.octets - before;
    record.responseId ??= responseId;
  }

  #refused(event: Message): void {
    const { error } = event as { error?: { event_id?: unknown } | null };
    if (typeof error?.event_id === 'string') this.#coverage.refused(error.event_id);
  }

  #settle(itemId: string): void {
    for (const turn of this.#turns) if (turn.itemId === itemId) turn.settled = true;
    this.#advance();
  }

  /** Turns settle in their order: the audio that may be asked for again has one beginning. */
  #advance(): void {
    for (let turn = this.#turns[0]; turn?.settled; turn = this.#turns[0]) {
      this.#settledSamples = Math.max(this.#settledSamples, turn.endSample);
      this.#turns.shift();
    }
  }
}

/** Turns that may wait for their response. */
const MAX_UNSETTLED_TURNS = 64;
/** Responses that may be under way at once, out-of-band ones included. */
const MAX_RUNNING_RESPONSES = 64;

/** Whether a turn that is found by its silence is answered at once; the API's default is that it is. */
function answersTurns(session: Record<string, unknown> | undefined): boolean {
  const { audio } = (session ?? {}) as {
    audio?: { input?: { turn_detection?: { create_response?: unknown } | null } };
  };
  return audio?.input?.turn_detection?.create_response !== false;
}

/** Whether items of this kind are made by responses, those of the page apart that say so of theirs. */
function isOfResponse({ type, role }: ItemRecord): boolean {
  return type === 'function_call' || (type === 'message' && role === 'assistant');
}

function responseIdOf(event: Message): string | undefined {
  const { response_id, response } = event as { response_id?: unknown; response?: { id?: unknown } };
  const id = typeof response_id === 'string' ? response_id : response?.id;
  return typeof id === 'string' && id !== '' ? id : undefined;
}
