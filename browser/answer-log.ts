import { type AnswerHeader, AudioHash, samplesToMs } from '../proto/voice/index.ts';
import type { Played } from './audio/playback-queue.ts';

/** Answers that are remembered for counters and late positions; the oldest are forgotten first. */
export const MAX_REMEMBERED_ANSWERS = 256;

/** Counters of one answer, as a page may show them and a test compares them. */
export interface AnswerCounters {
  readonly itemId: string;
  readonly responseId: string;
  readonly contentIndex: number;
  readonly receivedSamples: number;
  /** FNV-1a, 64 bits, over the PCM16 octets that came, as hex. */
  readonly receivedHash: string;
  readonly playedSamples: number;
  /** The same over what the playback worklet put out. */
  readonly playedHash: string;
  /** Samples that came and will never be played, as the caller spoke over them. */
  readonly droppedSamples: number;
  /** The backend sent all of it (a FIN came, and no reset). */
  readonly complete: boolean;
  /** Playback was cleared by a barge-in. */
  readonly cleared: boolean;
  /** It was heard to its end. */
  readonly finished: boolean;
}

/** How far one answer was heard. */
export interface Position {
  readonly itemId: string;
  readonly contentIndex: number;
  readonly playedSamples: number;
  readonly playedMs: number;
}

/** The page's record of one answer. */
export class AnswerRecord {
  readonly key: number;
  readonly header: AnswerHeader;
  readonly #received = new AudioHash();
  #played: Played | undefined;
  complete = false;
  cleared = false;

  constructor(key: number, header: AnswerHeader) {
    this.key = key;
    this.header = header;
  }

  get receivedSamples(): number {
    return this.#received.octets / 2;
  }

  get playedSamples(): number {
    return this.#played?.playedSamples ?? 0;
  }

  /** Samples that came, are to be played and are not played yet. */
  get waitingSamples(): number {
    return this.cleared ? 0 : this.receivedSamples - this.playedSamples;
  }

  /** Octets that came, whole samples. */
  received(octets: Uint8Array): void {
    this.#received.update(octets);
  }

  /** What the worklet says of it. Reports are in order, so the last one stands. */
  played(played: Played): void {
    this.#played = played;
  }

  get position(): Position {
    return {
      itemId: this.header.itemId,
      contentIndex: this.header.contentIndex,
      playedSamples: this.playedSamples,
      playedMs: samplesToMs(this.playedSamples),
    };
  }

  get counters(): AnswerCounters {
    return {
      itemId: this.header.itemId,
      responseId: this.header.responseId,
      contentIndex: this.header.contentIndex,
      receivedSamples: this.receivedSamples,
      receivedHash: this.#received.digest(),
      playedSamples: this.playedSamples,
      playedHash: this.#played?.playedHash ?? new AudioHash().digest(),
      droppedSamples: this.cleared ? this.receivedSamples - this.playedSamples : 0,
      complete: this.complete,
      cleared: this.cleared,
      finished: this.#played?.finished ?? false,
    };
  }
}

/** All answers of a call, in the order they began, and which items the caller spoke over. */
export class AnswerLog {
  readonly #records = new Map<number, AnswerRecord>();
  readonly #clearedItems = new Set<string>();
  #nextKey = 0;

  /** Samples that came and still have to be played. */
  get waitingSamples(): number {
    let samples = 0;
    for (const record of this.#records.values()) samples += record.waitingSamples;
    return samples;
  }

  get counters(): AnswerCounters[] {
    return [...this.#records.values()].map((record) => record.counters);
  }

  /** An answer's stream began. One whose item was cleared before its stream came is born cleared: it is not played. */
  begin(header: AnswerHeader): AnswerRecord {
    const record = new AnswerRecord(this.#nextKey++, header);
    record.cleared = this.#clearedItems.has(header.itemId);
    this.#records.set(record.key, record);
    forgetOldest(this.#records, MAX_REMEMBERED_ANSWERS);
    return record;
  }

  get(key: number): AnswerRecord | undefined {
    return this.#records.get(key);
  }

  /**
   * Marks an item (or every answer, when none is named) as cleared; gives the records whose playback must stop.
   * Those that were heard to their end, or cleared before, need no stopping.
   */
  clear(itemId?: string): AnswerRecord[] {
    if (itemId !== undefined) {
      this.#clearedItems.add(itemId);
      forgetOldest(this.#clearedItems, MAX_REMEMBERED_ANSWERS);
    }
    const stopped: AnswerRecord[] = [];
    for (const record of this.#records.values()) {
      if (itemId !== undefined && record.header.itemId !== itemId) continue;
      if (record.cleared || (record.complete && record.waitingSamples === 0)) continue;
      record.cleared = true;
      stopped.push(record);
    }
    return stopped;
  }

  /** The last known record of an item. */
  ofItem(itemId: string): AnswerRecord | undefined {
    let found: AnswerRecord | undefined;
    for (const record of this.#records.values()) if (record.header.itemId === itemId) found = record;
    return found;
  }
}

function forgetOldest<T>(collection: Map<T, unknown> | Set<T>, bound: number): void {
  if (collection.size <= bound) return;
  const oldest = collection.keys().next();
  if (!oldest.done) collection.delete(oldest.value);
}
