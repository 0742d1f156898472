import type { PlaybackPositionMessage } from './messages.ts';
import { samplesToMs } from './pcm.ts';

/** Answers remembered for a late playback position; older ones are forgotten, oldest first. */
export const MAX_LEDGER_ITEMS = 64;

/** What `conversation.item.truncate` is to say. */
export interface Truncation {
  readonly itemId: string;
  readonly contentIndex: number;
  /** Whole ms, never more than the audio sent. */
  readonly audioEndMs: number;
}

interface Entry {
  readonly itemId: string;
  readonly contentIndex: number;
  sentSamples: number;
  playedSamples: number;
  /** Samples that came for it and will never be sent, as the caller spoke over them. */
  droppedSamples: number;
  /** The upstream has no more audio for it. */
  complete: boolean;
  /** Its playback was cleared: nothing more of it is sent. */
  cleared: boolean;
  truncated: boolean;
}

/**
 * Counts, per audio part of an answer, what was sent and what the page says it played, and decides what a barge-in cuts.
 * Audio is faster than speech, so "sent" says nothing about "heard": only the page knows.
 */
export class AnswerLedger {
  readonly #entries = new Map<string, Entry>();

  get size(): number {
    return this.#entries.size;
  }

  /** An answer's audio part begins. */
  begin(itemId: string, contentIndex: number): void {
    const key = keyOf(itemId, contentIndex);
    if (this.#entries.has(key)) return;
    if (this.#entries.size >= MAX_LEDGER_ITEMS) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, {
      itemId,
      contentIndex,
      sentSamples: 0,
      playedSamples: 0,
      droppedSamples: 0,
      complete: false,
      cleared: false,
      truncated: false,
    });
  }

  /** Audio of it was handed to the transport. */
  sent(itemId: string, contentIndex: number, samples: number): void {
    const entry = this.#entries.get(keyOf(itemId, contentIndex));
    if (entry !== undefined) entry.sentSamples += samples;
  }

  /** Audio of it came from the upstream and is thrown away unsent. */
  dropped(itemId: string, contentIndex: number, samples: number): void {
    const entry = this.#entries.get(keyOf(itemId, contentIndex));
    if (entry !== undefined) entry.droppedSamples += samples;
  }

  /** The upstream said that its audio is complete. */
  complete(itemId: string, contentIndex: number): void {
    const entry = this.#entries.get(keyOf(itemId, contentIndex));
    if (entry !== undefined) entry.complete = true;
  }

  /** Whether the part was cleared by a barge-in, so that later audio of it is dropped. */
  isCleared(itemId: string, contentIndex: number): boolean {
    return this.#entries.get(keyOf(itemId, contentIndex))?.cleared ?? false;
  }

  /**
   * The caller speaks over the answers. Marks every part that is not wholly played as cleared and gives them, in the
   * order they began; none when the caller has heard everything.
   */
  bargeIn(): { readonly itemId: string; readonly contentIndex: number }[] {
    const cut: { itemId: string; contentIndex: number }[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.cleared || heardToTheEnd(entry)) continue;
      entry.cleared = true;
      cut.push({ itemId: entry.itemId, contentIndex: entry.contentIndex });
    }
    return cut;
  }

  /**
   * The page reports what it played. Gives a truncation, once, when playback was cleared before the end; none for an
   * item that was played to its end, that is unknown, or that was not cleared by a barge-in.
   */
  position(message: PlaybackPositionMessage): Truncation | undefined {
    const entry = this.#entries.get(keyOf(message.itemId, message.contentIndex));
    if (entry === undefined || entry.truncated) return undefined;
    // A page cannot have played what was never sent: the upstream refuses to truncate behind the end of the audio.
    entry.playedSamples = Math.max(entry.playedSamples, Math.min(message.playedSamples, entry.sentSamples));
    return message.cleared ? truncate(entry) : undefined;
  }

  /**
   * The page did not say in time where it stopped: the truncation of a cleared part by what it reported last, at most one
   * report (500 ms) less than was heard. None when the page has answered, or the part is unknown or was not cleared.
   */
  unanswered(itemId: string, contentIndex: number): Truncation | undefined {
    const entry = this.#entries.get(keyOf(itemId, contentIndex));
    return entry === undefined || !entry.cleared || entry.truncated ? undefined : truncate(entry);
  }
}

function truncate(entry: Entry): Truncation | undefined {
  if (heardToTheEnd(entry)) return undefined;
  entry.cleared = true;
  entry.truncated = true;
  return {
    itemId: entry.itemId,
    contentIndex: entry.contentIndex,
    audioEndMs: Math.floor(samplesToMs(entry.playedSamples)),
  };
}

/** Whether the caller heard all that the upstream said, so that there is nothing to cut. */
function heardToTheEnd(entry: Entry): boolean {
  return entry.complete && entry.droppedSamples === 0 && entry.playedSamples >= entry.sentSamples;
}

function keyOf(itemId: string, contentIndex: number): string {
  return `${contentIndex} ${itemId}`;
}
