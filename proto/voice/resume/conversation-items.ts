import type { Message } from '../messages.ts';
import { samplesToMs } from '../pcm.ts';

/** An item of the conversation as a fresh upstream can be given it: text instead of audio. */
export interface RestorableItem {
  readonly id: string;
  readonly type: string;
  readonly [field: string]: unknown;
}

/** One part of an item's content. */
interface Part {
  readonly kind: 'text' | 'audio' | 'image';
  text: string;
  imageUrl: string | undefined;
  /** Audio that the upstream made for it. */
  samples: number;
  /** Where it was cut, in ms of its audio; undefined when it was not. */
  cutMs: number | undefined;
}

/** What is known of one item. */
export class ItemRecord {
  readonly id: string;
  type = 'message';
  role = 'assistant';
  /** Everything that cannot be written as text and parts: function calls and their results, as they came. */
  fields: Record<string, unknown> = {};
  readonly parts = new Map<number, Part>();
  /** Response that makes it; undefined for an item that the caller or the page made. */
  responseId: string | undefined;
  /** The item came from the microphone. */
  fromMicrophone = false;
  /** The page made it. */
  byPage = false;
  /** Its response is over, or it never had one. */
  finished = false;

  constructor(id: string) {
    this.id = id;
  }

  part(index: number, kind: Part['kind'] = 'audio'): Part {
    let part = this.parts.get(index);
    if (part === undefined) {
      part = { kind, text: '', imageUrl: undefined, samples: 0, cutMs: undefined };
      // Far more parts than an item has: what is beyond is not restored.
      if (this.parts.size < MAX_PARTS) this.parts.set(index, part);
    }
    return part;
  }

  /** Octets that it costs, about. */
  get octets(): number {
    let octets = 64;
    for (const part of this.parts.values()) octets += 2 * part.text.length + (part.imageUrl?.length ?? 0);
    for (const value of Object.values(this.fields)) if (typeof value === 'string') octets += 2 * value.length;
    return octets;
  }

  /** Takes what an event says of the item; what it does not say stays. */
  update(item: Record<string, unknown>): void {
    if (typeof item.type === 'string') this.type = item.type;
    if (typeof item.role === 'string') this.role = item.role;
    if (this.type !== 'message') {
      const { id: _id, object: _object, status: _status, ...fields } = item;
      this.fields = fields;
      return;
    }
    if (!Array.isArray(item.content)) return;
    for (const [index, content] of item.content.entries()) this.#updatePart(index, content);
  }

  #updatePart(index: number, content: unknown): void {
    if (typeof content !== 'object' || content === null) return;
    const { type, text, transcript, image_url } = content as Record<string, unknown>;
    if (type === 'input_image') {
      if (typeof image_url === 'string') this.part(index, 'image').imageUrl = image_url;
      return;
    }
    const audio = type === 'input_audio' || type === 'output_audio' || type === 'audio';
    if (type === 'input_audio') this.fromMicrophone = true;
    const part = this.part(index, audio ? 'audio' : 'text');
    const words = audio ? transcript : text;
    // A part that was cut keeps the transcript that it had: what is heard is reckoned from that.
    if (typeof words === 'string' && (words !== '' || part.text === '') && part.cutMs === undefined)
      part.text = words;
  }

  /** The item for `conversation.item.create`; undefined when nothing of it can be written as text. */
  restorable(): RestorableItem | undefined {
    if (this.type !== 'message') {
      if (this.type !== 'function_call' && this.type !== 'function_call_output') return undefined;
      return { ...this.fields, id: this.id, type: this.type };
    }
    const content = [...this.parts.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, part]) => this.#content(part))
      .filter((part) => part !== undefined);
    return content.length === 0 ? undefined : { id: this.id, type: 'message', role: this.role, content };
  }

  #content(part: Part): Record<string, unknown> | undefined {
    if (part.kind === 'image') return { type: 'input_image', image_url: part.imageUrl };
    const text = heardText(part);
    if (text === '') return undefined;
    return { type: this.role === 'assistant' ? 'output_text' : 'input_text', text };
  }
}

/** Parts of one item that are remembered. */
const MAX_PARTS = 32;

/**
 * The words of a part up to where it was cut. No event says when a word is spoken, so the cut is at the same share of the
 * text as of the audio, at the end of a word.
 */
function heardText({ text, samples, cutMs }: Part): string {
  if (cutMs === undefined) return text;
  const lengthMs = samplesToMs(samples);
  if (lengthMs <= cutMs) return text;
  const length = Math.floor((text.length * cutMs) / lengthMs);
  const end = text.lastIndexOf(' ', length);
  return end <= 0 ? '' : text.slice(0, end);
}

/** The `item` of an event, when it has one with an ID. */
export function itemOf(event: Message): Record<string, unknown> | undefined {
  const { item } = event;
  if (typeof item !== 'object' || item === null) return undefined;
  const { id } = item as Record<string, unknown>;
  return typeof id === 'string' && id !== '' ? (item as Record<string, unknown>) : undefined;
}
