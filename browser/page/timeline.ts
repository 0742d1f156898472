import { element, make, reachable } from './dom.ts';
import { clock } from './format.ts';

/** Entries that stay on the page; the oldest goes first. */
const MAX_ENTRIES = 100;

export type Tone = 'plain' | 'good' | 'change' | 'bad';

export interface Entry {
  readonly atMs: number;
  readonly tone: Tone;
  readonly text: string;
}

/** Whether the words of one entry are part of those of the other. */
const says = (one: string, other: string) => one.includes(other.replace(/\.$/, ''));

/** What happened to the call, newest first. */
export class Timeline {
  readonly #list = element<HTMLOListElement>('timeline');
  readonly #empty = element('timeline-empty');
  #entries: Entry[] = [];
  #items: HTMLElement[] = [];
  #startedAt = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
    this.#items = [];
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
    this.#items.push(item);
    this.#empty.hidden = true;
    reachable(this.#list);
    if (this.#entries.length > MAX_ENTRIES) this.#removeAt(0);
  }

  /** A fault, unless an entry says it already: model, server and the end of the call may each report the same. */
  addFault(text: string, message: string): void {
    const known = this.#entries.some((entry) => entry.tone === 'bad' && says(entry.text, message));
    if (!known) this.add('bad', text);
  }

  /** What is said elsewhere on the page need not stand here too. */
  removeFaultsOf(message: string): void {
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i];
      if (entry?.tone === 'bad' && says(message, entry.text)) this.#removeAt(i);
    }
  }

  #removeAt(index: number): void {
    this.#entries.splice(index, 1);
    this.#items.splice(index, 1)[0]?.remove();
  }
}
