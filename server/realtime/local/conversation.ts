import type { ConversationItem } from 'openai/resources/realtime/realtime';
import { samplesToMs } from '../../../proto/voice/index.ts';
import { ClientFault } from './events.ts';
import { shortId } from './ids.ts';

/** Items remembered; the oldest are forgotten, as the real API truncates a conversation that grows too long. */
const MAX_ITEMS = 512;

interface Entry {
  item: ConversationItem;
  /** Audio of an answer, generated so far; undefined for every other item. */
  answerSamples: number | undefined;
}

/** The items of one session, in order. Holds no audio, only how long it was. */
export class Conversation {
  readonly id = `conv_${shortId()}`;
  readonly #entries = new Map<string, Entry>();
  #lastId: string | null = null;

  /** Adds an item at the end; gives the ID of the one before it. */
  add(id: string, item: ConversationItem, isAnswer = false): string | null {
    if (this.#entries.has(id))
      throw new ClientFault('item_create_duplicate_id', `Item '${id}' exists already.`, 'item.id');
    const previous = this.#lastId;
    this.#entries.set(id, { item, answerSamples: isAnswer ? 0 : undefined });
    this.#lastId = id;
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > MAX_ITEMS && oldest !== undefined) this.#entries.delete(oldest);
    return previous;
  }

  /** The last item. */
  get last(): ConversationItem | undefined {
    return this.#lastId === null ? undefined : this.#entries.get(this.#lastId)?.item;
  }

  replace(id: string, item: ConversationItem): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.item = item;
  }

  answered(id: string, samples: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.answerSamples = (entry.answerSamples ?? 0) + samples;
  }

  get(id: string, verb: string): ConversationItem {
    return this.#find(id, verb).item;
  }

  delete(id: string): void {
    this.#find(id, 'delete');
    this.#entries.delete(id);
    if (this.#lastId === id) this.#lastId = [...this.#entries.keys()].at(-1) ?? null;
  }

  /** Cuts an answer to what was heard. Refuses more than there is, as the real API does. */
  truncate(id: string, contentIndex: number, audioEndMs: number): void {
    const entry = this.#find(id, 'truncate');
    if (entry.answerSamples === undefined) {
      throw new ClientFault(
        'invalid_value',
        'Only assistant messages with audio can be truncated.',
        'item_id',
      );
    }
    if (contentIndex !== 0)
      throw new ClientFault('invalid_value', 'content_index must be 0.', 'content_index');
    const lengthMs = Math.floor(samplesToMs(entry.answerSamples));
    if (audioEndMs > lengthMs) {
      throw new ClientFault(
        'invalid_value',
        `Audio content of ${lengthMs}ms is already shorter than ${audioEndMs}ms`,
        'audio_end_ms',
      );
    }
    // What follows was not heard, so a second truncation can only be shorter.
    entry.answerSamples = Math.min(entry.answerSamples, Math.ceil((audioEndMs * 24_000) / 1000));
  }

  #find(id: string, verb: string): Entry {
    const entry = this.#entries.get(id);
    if (entry !== undefined) return entry;
    throw new ClientFault(
      `item_${verb}_invalid_item_id`,
      `Error with item '${id}': there is no such item.`,
      'item_id',
    );
  }
}
