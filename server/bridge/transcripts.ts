import type { Message } from '../../proto/voice/index.ts';
import { LazyMap } from '../../proto/wire/index.ts';
import type { Transcript } from './hooks.ts';

/** Parts whose words are being made, and characters of them, that are remembered. */
const MAX_PARTS = 64;
const MAX_CHARACTERS = 64 << 10;

const CALLER = 'conversation.item.input_audio_transcription.';
const MODEL = ['response.output_audio_transcript.', 'response.output_text.'];

/** Makes transcripts of an upstream's events: the words so far with each delta, and all of them at the end. */
export class Transcripts {
  readonly #parts = new LazyMap<string, string>();

  /** What this event says of someone's words; undefined when it says nothing of them. */
  upstreamEvent(event: Message): Transcript | undefined {
    const { type, item_id: itemId } = event;
    if (typeof itemId !== 'string') return undefined;
    const role = type.startsWith(CALLER)
      ? 'caller'
      : MODEL.some((start) => type.startsWith(start))
        ? 'model'
        : undefined;
    if (role === undefined) return undefined;
    const key = `${itemId} ${String(event.content_index ?? 0)}`;
    if (type.endsWith('.delta') && typeof event.delta === 'string')
      return { role, itemId, text: this.#grow(key, event.delta), final: false };
    const words =
      type.endsWith('.done') || type.endsWith('.completed') ? (event.transcript ?? event.text) : undefined;
    if (typeof words !== 'string') return undefined;
    this.#parts.delete(key);
    return { role, itemId, text: words, final: true };
  }

  #grow(key: string, delta: string): string {
    const text = ((this.#parts.get(key) ?? '') + delta).slice(0, MAX_CHARACTERS);
    this.#parts.set(key, text);
    if (this.#parts.size > MAX_PARTS) this.#parts.delete(this.#parts.keys().next().value!);
    return text;
  }
}
