import type { Message } from '../proto/voice/index.ts';

/** Words of one item of the conversation. */
export interface TranscriptEntry {
  readonly itemId: string;
  readonly role: 'caller' | 'model';
  /** The words so far, or all of them; empty while the caller's are being written down. */
  readonly text: string;
  /** No more will come. */
  readonly final: boolean;
}

/** Entries that are kept; the oldest go first. */
const MAX_ENTRIES = 1000;

interface Entry {
  readonly itemId: string;
  readonly role: 'caller' | 'model';
  /** By part of the item. */
  readonly parts: Map<number, string>;
  final: boolean;
  /** As it is shown; absent when its words have changed since. A word must not cost as much as the whole conversation. */
  shown: TranscriptEntry | undefined;
}

function show({ itemId, role, parts, final }: Entry): TranscriptEntry {
  const text = [...parts.values()].filter((words) => words !== '').join(' ');
  return { itemId, role, text, final };
}

const DELTAS: ReadonlySet<string> = new Set([
  'response.output_audio_transcript.delta',
  'response.output_text.delta',
  'conversation.item.input_audio_transcription.delta',
]);
const WHOLE: ReadonlySet<string> = new Set([
  'response.output_audio_transcript.done',
  'response.output_text.done',
  'conversation.item.input_audio_transcription.completed',
]);

/** The words of both sides, in the order of the conversation: the caller's are often written down after the answer has begun. */
export class TranscriptList {
  #entries: Entry[] = [];
  #list: readonly TranscriptEntry[] = [];

  /** A new list with each change, so that two can be compared by `===`. */
  get list(): readonly TranscriptEntry[] {
    return this.#list;
  }

  /** Takes an event of the API. Returns whether the list is another one now. */
  event(event: Message): boolean {
    if (!this.#take(event)) return false;
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
    this.#list = this.#entries.map((entry) => {
      entry.shown ??= show(entry);
      return entry.shown;
    });
    return true;
  }

  #take(event: Message): boolean {
    const { type } = event;
    if (DELTAS.has(type)) return this.#words(event, String(event.delta ?? ''), false);
    if (WHOLE.has(type)) return this.#words(event, String(event.transcript ?? event.text ?? ''), true);
    if (
      type === 'conversation.item.added' ||
      type === 'conversation.item.created' ||
      type === 'conversation.item.done'
    )
      return this.#item(event);
    if (type === 'conversation.item.deleted') return this.#delete(event.item_id);
    return false;
  }

  #words({ item_id, content_index }: Message, text: string, whole: boolean): boolean {
    const entry = this.#entries.find(({ itemId }) => itemId === item_id);
    if (entry === undefined) return false;
    const part = typeof content_index === 'number' ? content_index : 0;
    entry.parts.set(part, whole ? text : (entry.parts.get(part) ?? '') + text);
    if (whole) entry.final = true;
    entry.shown = undefined;
    return true;
  }

  #item(event: Message): boolean {
    const { id, type, role, content } = (event.item ?? {}) as Record<string, unknown>;
    if (typeof id !== 'string' || type !== 'message' || (role !== 'user' && role !== 'assistant'))
      return false;
    if (this.#entries.some(({ itemId }) => itemId === id)) return false;
    const parts = new Map<number, string>();
    for (const [index, part] of (Array.isArray(content) ? content : []).entries()) {
      const { text, transcript } = (part ?? {}) as Record<string, unknown>;
      const words = text ?? transcript;
      if (typeof words === 'string') parts.set(index, words);
    }
    const spoken = role === 'assistant' || parts.size === 0;
    const entry: Entry = {
      itemId: id,
      role: role === 'user' ? 'caller' : 'model',
      parts,
      final: !spoken,
      shown: undefined,
    };
    const before = this.#entries.findIndex(({ itemId }) => itemId === event.previous_item_id);
    if (before >= 0) this.#entries.splice(before + 1, 0, entry);
    else this.#entries.push(entry);
    return true;
  }

  #delete(itemId: unknown): boolean {
    const left = this.#entries.filter((entry) => entry.itemId !== itemId);
    if (left.length === this.#entries.length) return false;
    this.#entries = left;
    return true;
  }
}
