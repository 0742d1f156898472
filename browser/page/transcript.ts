import type { Message } from '../../proto/voice/index.ts';
import { element, make, reachable } from './dom.ts';

/** Turns that stay on the page; the oldest goes first. */
const MAX_TURNS = 200;

type Speaker = 'you' | 'answer';

interface Turn {
  readonly item: HTMLElement;
  readonly words: HTMLElement;
  text: string;
}

const text = (message: Message, field: string): string => {
  const value = message[field];
  return typeof value === 'string' ? value : '';
};

/** Writes down both sides of the conversation from the events of the Realtime API. */
export class Transcript {
  readonly #list = element('transcript');
  readonly #empty = element('transcript-empty');
  readonly #turns = new Map<string, Turn>();
  #written = 0;

  clear(): void {
    this.#turns.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  take(event: Message): void {
    const itemId = text(event, 'item_id');
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        // The caller's turn keeps its place: its words are known only after the answer has begun.
        this.#turn(itemId, 'you').item.dataset.pending = 'true';
        break;
      case 'conversation.item.input_audio_transcription.delta':
        this.#append(itemId, 'you', text(event, 'delta'));
        break;
      case 'conversation.item.input_audio_transcription.completed':
        this.#settle(itemId, 'you', text(event, 'transcript'));
        break;
      case 'conversation.item.input_audio_transcription.failed':
        this.#settle(itemId, 'you', '(not transcribed)');
        break;
      case 'response.output_audio_transcript.delta':
      case 'response.output_text.delta':
        this.#append(itemId, 'answer', text(event, 'delta'));
        break;
      case 'response.output_audio_transcript.done':
        this.#settle(itemId, 'answer', text(event, 'transcript'));
        break;
      case 'response.output_text.done':
        this.#settle(itemId, 'answer', text(event, 'text'));
        break;
      case 'conversation.item.deleted':
        this.#forget(itemId);
        break;
    }
  }

  /** The caller wrote this instead of saying it. */
  wrote(words: string): void {
    this.#written += 1;
    this.#settle(`written-${this.#written}`, 'you', words);
  }

  /** A sentence about an answer: beside it where it has words, else in its place. */
  remark(event: Message, sentence: string): void {
    const { id = '', output } = (event.response ?? {}) as { id?: string; output?: { id?: string }[] };
    const itemId = (Array.isArray(output) ? output[0]?.id : undefined) ?? `response-${id}`;
    const { item } = this.#turn(itemId, 'answer');
    delete item.dataset.pending;
    item.append(make('p', 'cut', sentence));
    this.#scroll();
  }

  /** This answer was cut after so many ms of it. */
  interrupted(itemId: string, playedMs: number): void {
    const turn = this.#turns.get(itemId);
    if (turn === undefined || turn.item.querySelector('.cut') !== null) return;
    turn.item.append(make('p', 'cut', `Stopped after ${(playedMs / 1000).toFixed(1)} s`));
  }

  /** Adds to what is there, so that a screen reader says what is new and not all of it again. */
  #append(itemId: string, speaker: Speaker, delta: string): void {
    const turn = this.#turn(itemId, speaker);
    turn.text += delta;
    turn.words.append(delta);
    delete turn.item.dataset.pending;
    this.#scroll();
  }

  #settle(itemId: string, speaker: Speaker, whole: string): void {
    const turn = this.#turn(itemId, speaker);
    delete turn.item.dataset.pending;
    if (whole === '' || whole === turn.text) return;
    turn.text = whole;
    turn.words.textContent = whole;
    this.#scroll();
  }

  #turn(itemId: string, speaker: Speaker): Turn {
    const known = this.#turns.get(itemId);
    if (known !== undefined) return known;
    const item = make('div', `turn turn-${speaker}`);
    const words = make('p', 'words');
    item.append(make('p', 'speaker', speaker === 'you' ? 'You' : 'Answer'), words);
    const turn: Turn = { item, words, text: '' };
    this.#turns.set(itemId, turn);
    this.#list.append(item);
    this.#empty.hidden = true;
    this.#forgetOldest();
    this.#scroll();
    return turn;
  }

  #forgetOldest(): void {
    if (this.#turns.size <= MAX_TURNS) return;
    const oldest = this.#turns.entries().next().value;
    if (oldest !== undefined) this.#forget(oldest[0]);
  }

  #forget(itemId: string): void {
    this.#turns.get(itemId)?.item.remove();
    this.#turns.delete(itemId);
    this.#empty.hidden = this.#turns.size > 0;
  }

  #scroll(): void {
    reachable(this.#list);
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
