import { element, make } from './dom.ts';
import { clock } from './format.ts';

/** Entries that stay on the page; the oldest goes first. */
const MAX_ENTRIES = 100;

export type Tone = 'plain' | 'good' | 'change' | 'bad';

export interface Entry {
  readonly atMs: number;
  readonly tone: Tone;
  readonly text: string;
}

/** What happened to the call, newest first. */
export class Timeline {
  readonly #list = element<HTMLOListElement>('timeline');
  readonly #empty = element('timeline-empty');
  #entries: Entry[] = [];
  #startedAt = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
    this.#startedAt = performance.now();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  add(tone: Tone, text: string): void {
    const atMs = performance.now() - this.#startedAt;
    this.#entries.push({ atMs, tone, text });
    const item = make('li', `entry entry-${tone}`);
    item.append(make('span', 'entry-time', clock(atMs)), make('span', 'entry-text', text));
    this.#list.prepend(item);
    this.#empty.hidden = true;
    if (this.#entries.length <= MAX_ENTRIES) return;
    this.#entries.shift();
    this.#list.lastElementChild?.remove();
  }
}
