import { type AnswerHeader, AudioHash, type Seam, samplesToMs } from '../proto/voice/index.ts';
import type { Played } from './audio/playback-queue.ts';

/** Answers that are remembered for counters and late positions; those that are over are forgotten first, oldest first. */
export const MAX_REMEMBERED_ANSWERS = 256;
/** Responses, and items, of which nothing is played any more; the oldest are forgotten first. */
export const MAX_REMEMBERED_CUTS = 1024;

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
  /** Samples that came and will never be played, as the answer was cut. */
  readonly droppedSamples: number;
  /** The backend sent all of it (a FIN came, and no reset). */
  readonly complete: boolean;
  /** It was cut before it was heard to its end: by a barge-in, by an interruption, or as its response was cancelled. */
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
  /** More of it may come, in this session or in the next one. */
  open = true;
  /** Joins what one stream of it brings to what another brought; undefined before its first sample. */
  seam: Seam | undefined;
  /** The stream that brings it now. */
  carrier: object | undefined;
  carriage = 0;
  /** When its first audio came, by the page's clock. */
  firstAt: number | undefined;

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

  /** It was heard to its end: there is nothing left to stop. */
  get heard(): boolean {
    return this.#played?.finished === true || (this.complete && this.waitingSamples === 0);
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

/** What a cut found: the answers whose playback must stop now, and all that are known of what it named. */
export interface Cut {
  readonly stopped: readonly AnswerRecord[];
  readonly known: readonly AnswerRecord[];
}

/**
 * All answers of a call, in the order they began, and what was cut. A cut is a fact about a response: of its items none is
 * played any more, whenever their streams come.
 */
export class AnswerLog {
  readonly #records = new Map<number, AnswerRecord>();
  readonly #cutResponses = new Set<string>();
  readonly #cutItems = new Set<string>();
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

  /** Responses of which the caller has not heard everything that came or is to come. */
  get unheardResponses(): string[] {
    const found = new Set<string>();
    for (const record of this.#records.values()) {
      if (!record.cleared && !record.heard) found.add(record.header.responseId);
    }
    return [...found];
  }

  /** An answer's stream began. One of a cut response is born cleared: it is not played. */
  begin(header: AnswerHeader): AnswerRecord {
    const record = new AnswerRecord(this.#nextKey++, header);
    record.cleared = this.#cutResponses.has(header.responseId) || this.#cutItems.has(header.itemId);
    this.#records.set(record.key, record);
    if (this.#records.size > MAX_REMEMBERED_ANSWERS) this.#forgetOne();
    return record;
  }

  get(key: number): AnswerRecord | undefined {
    return this.#records.get(key);
  }

  /** The answer of this number that goes on in another session; undefined for one that begins. */
  resumed(answer: number): AnswerRecord | undefined {
    for (const record of this.#records.values()) {
      if (record.open && record.header.answer === answer) return record;
    }
    return undefined;
  }

  /** When the first audio came of the answer that is heard and still comes; undefined when none is. */
  get flowingSince(): number | undefined {
    for (const record of this.#records.values())
      if (record.open && !record.cleared && record.firstAt !== undefined) return record.firstAt;
    return undefined;
  }

  /** Answers of which more may come. */
  get open(): AnswerRecord[] {
    return [...this.#records.values()].filter(({ open }) => open);
  }

  /** These are not to be heard any more. Gives those that were not heard to their end. */
  cutRecords(records: readonly AnswerRecord[]): Cut {
    const named = new Set(records);
    return this.#cut((_header, record) => named.has(record));
  }

  /** These responses are not to be heard any more, for good. */
  cutResponses(responseIds: readonly string[]): Cut {
    for (const responseId of responseIds) remember(this.#cutResponses, responseId);
    const named = new Set(responseIds);
    return this.#cut(({ responseId }) => named.has(responseId));
  }

  /** This item is not to be heard any more, for good. */
  cutItem(itemId: string): Cut {
    remember(this.#cutItems, itemId);
    return this.#cut((header) => header.itemId === itemId);
  }

  #cut(named: (header: AnswerHeader, record: AnswerRecord) => boolean): Cut {
    const known = [...this.#records.values()].filter((record) => named(record.header, record));
    const stopped = known.filter((record) => !record.cleared && !record.heard);
    for (const record of stopped) record.cleared = true;
    return { stopped, known };
  }

  /** The oldest that is over; the oldest of all where none is. */
  #forgetOne(): void {
    let forgotten: number | undefined;
    for (const [key, record] of this.#records) {
      forgotten ??= key;
      if (!record.cleared && !record.heard) continue;
      forgotten = key;
      break;
    }
    if (forgotten !== undefined) this.#records.delete(forgotten);
  }
}

function remember(cuts: Set<string>, id: string): void {
  cuts.delete(id);
  cuts.add(id);
  if (cuts.size <= MAX_REMEMBERED_CUTS) return;
  const oldest = cuts.keys().next();
  if (!oldest.done) cuts.delete(oldest.value);
}
