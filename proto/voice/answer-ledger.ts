import { LazyMap } from '../wire/index.ts';
import type { PlaybackPositionMessage } from './messages.ts';
import { samplesToMs } from './pcm.ts';

/** Audio parts remembered for a late playback position; older ones are forgotten, oldest first. */
export const MAX_LEDGER_PARTS = 256;
/** Responses remembered, those that were cut among them; older ones are forgotten, oldest first. */
export const MAX_LEDGER_RESPONSES = 256;

/** What `conversation.item.truncate` is to say. */
export interface Truncation {
  readonly itemId: string;
  readonly contentIndex: number;
  /** Whole ms, never more than the audio sent. */
  readonly audioEndMs: number;
}

/** One audio part of a response item. */
export interface AnswerPart {
  readonly responseId: string;
  readonly itemId: string;
  readonly contentIndex: number;
}

interface PartEntry extends AnswerPart {
  /** Samples that the upstream made, sent or not. */
  arrivedSamples: number;
  /** Samples handed to the transport. */
  sentSamples: number;
  playedSamples: number;
  /** The upstream has no more audio for it. */
  complete: boolean;
  /** Its first audio came after the cut: the page never saw it and has nothing to say of it. */
  readonly afterCut: boolean;
  /** Nothing is left to tell the upstream of it: it was truncated, by us or by the page, or its item was deleted. */
  settled: boolean;
}

interface ResponseEntry {
  /** Whatever of it arrives later is dropped. */
  cut: boolean;
  /** The upstream is still making it. */
  active: boolean;
  /** Its items belong to the conversation; those of an out-of-band response cannot be truncated. */
  inConversation: boolean;
}

/**
 * Knows each response and its audio parts: what arrived, what was sent, what the page says it played, and whether it was cut.
 * A cut is a fact about the response and stays for good. Audio is faster than speech, so "sent" says nothing about "heard":
 * only the page knows.
 */
export class AnswerLedger {
  readonly #parts = new LazyMap<string, PartEntry>();
  readonly #responses = new LazyMap<string, ResponseEntry>();

  /** Audio parts remembered. */
  get size(): number {
    return this.#parts.size;
  }

  /** Responses remembered. */
  get responses(): number {
    return this.#responses.size;
  }

  /** `response.created`. */
  responseCreated(responseId: string, inConversation: boolean): void {
    const response = this.#response(responseId);
    response.active = true;
    response.inConversation = inConversation;
  }

  /** `response.done`: nothing more comes of it. Gives what to truncate of a cut response that the page never saw. */
  responseDone(responseId: string): Truncation[] {
    const response = this.#responses.get(responseId);
    if (response !== undefined) response.active = false;
    const out: Truncation[] = [];
    for (const part of this.#partsOf(responseId)) out.push(...this.#complete(part));
    return out;
  }

  /** An audio part begins, if it is new. */
  begin({ responseId, itemId, contentIndex }: AnswerPart): void {
    const key = keyOf(itemId, contentIndex);
    if (this.#parts.has(key)) return;
    if (this.#parts.size >= MAX_LEDGER_PARTS) deleteOldest(this.#parts);
    this.#parts.set(key, {
      responseId,
      itemId,
      contentIndex,
      arrivedSamples: 0,
      sentSamples: 0,
      playedSamples: 0,
      complete: false,
      afterCut: this.#response(responseId).cut,
      settled: false,
    });
  }

  /** The upstream made audio of it. */
  arrived(itemId: string, contentIndex: number, samples: number): void {
    const part = this.#parts.get(keyOf(itemId, contentIndex));
    if (part !== undefined) part.arrivedSamples += samples;
  }

  /** Audio of it was handed to the transport. */
  sent(itemId: string, contentIndex: number, samples: number): void {
    const part = this.#parts.get(keyOf(itemId, contentIndex));
    if (part !== undefined) part.sentSamples += samples;
  }

  /** The upstream said that the part is complete. Gives what to truncate when the page never saw it. */
  complete(itemId: string, contentIndex: number): Truncation[] {
    const part = this.#parts.get(keyOf(itemId, contentIndex));
    return part === undefined ? [] : this.#complete(part);
  }

  /** Whether the response was cut, so that whatever arrives of it is dropped. */
  isCut(responseId: string): boolean {
    return this.#responses.get(responseId)?.cut ?? false;
  }

  /** Responses that the upstream is still making and that the caller hears or the conversation holds. */
  get activeResponses(): string[] {
    return [...this.#responses]
      .filter(([id, { active, inConversation }]) => active && (inConversation || this.#hasAudio(id)))
      .map(([id]) => id);
  }

  /** The response that an item's audio belongs to. */
  responseOf(itemId: string): string | undefined {
    for (const part of this.#parts.values()) if (part.itemId === itemId) return part.responseId;
    return undefined;
  }

  /**
   * Responses, not cut yet, that the caller has not heard to their end, or that are still being made for the conversation;
   * in the order they began. With `conversationOnly`, none that is out of band.
   */
  unheard(conversationOnly = false): string[] {
    const out: string[] = [];
    for (const [id, { cut, active, inConversation }] of this.#responses) {
      if (cut || (conversationOnly && !inConversation)) continue;
      if ((active && inConversation) || this.#partsOf(id).some((part) => !heardToTheEnd(part))) out.push(id);
    }
    return out;
  }

  /** Cuts these responses. Gives those of them of which the page may still have something to play. */
  cut(responseIds: readonly string[]): string[] {
    return responseIds.filter((id) => {
      const response = this.#response(id);
      if (response.cut) return false;
      response.cut = true;
      return this.#partsOf(id).some((part) => !heardToTheEnd(part));
    });
  }

  /**
   * The page reports what it played. Gives a truncation, once, when playback stopped before the end; none for a part that was
   * played to its end, is unknown or settled, or belongs to no conversation.
   */
  position(message: PlaybackPositionMessage): Truncation | undefined {
    const part = this.#parts.get(keyOf(message.itemId, message.contentIndex));
    if (part === undefined || part.settled) return undefined;
    // A page cannot have played what was never sent: the upstream refuses to truncate behind the end of the audio.
    part.playedSamples = Math.max(part.playedSamples, Math.min(message.playedSamples, part.sentSamples));
    if (!message.cleared || heardToTheEnd(part)) return undefined;
    this.#response(part.responseId).cut = true;
    return this.#settle(part);
  }

  /**
   * The page has stopped these responses and named every position of theirs, or did not do so in time: truncations of the
   * parts it did not name, at what it reported last.
   */
  cleared(responseIds: readonly string[]): Truncation[] {
    const out: Truncation[] = [];
    for (const id of responseIds) {
      if (!this.isCut(id)) continue;
      for (const part of this.#partsOf(id)) {
        // The upstream may still be making a part that began after the cut: its end is waited for.
        const truncation = part.afterCut && !part.complete ? undefined : this.#settle(part);
        if (truncation !== undefined) out.push(truncation);
      }
    }
    return out;
  }

  /** The page truncates an item itself: the upstream is told nothing more of that part. */
  truncatedByPage(itemId: string, contentIndex: number): void {
    const part = this.#parts.get(keyOf(itemId, contentIndex));
    if (part !== undefined) part.settled = true;
  }

  /**
   * Another upstream goes on with the conversation: it knows the items as text, so none of them can be truncated any more. What
   * was still being made is cut. Gives the responses among those of which the page may have something to play.
   */
  upstreamReplaced(): string[] {
    const unfinished: string[] = [];
    for (const [id, response] of this.#responses) {
      const parts = this.#partsOf(id);
      for (const part of parts) part.settled = true;
      if (response.cut || !(response.active || parts.some(({ complete }) => !complete))) continue;
      response.cut = true;
      if (parts.length > 0) unfinished.push(id);
    }
    for (const response of this.#responses.values()) response.active = false;
    return unfinished;
  }

  /** The item was deleted: it cannot be truncated any more. */
  itemDeleted(itemId: string): void {
    for (const part of this.#parts.values()) if (part.itemId === itemId) part.settled = true;
  }

  #complete(part: PartEntry): Truncation[] {
    part.complete = true;
    const truncation = part.afterCut ? this.#settle(part) : undefined;
    return truncation === undefined ? [] : [truncation];
  }

  #settle(part: PartEntry): Truncation | undefined {
    if (part.settled || heardToTheEnd(part)) return undefined;
    part.settled = true;
    if (part.arrivedSamples === 0 || !this.#response(part.responseId).inConversation) return undefined;
    const { itemId, contentIndex, playedSamples } = part;
    return { itemId, contentIndex, audioEndMs: Math.floor(samplesToMs(playedSamples)) };
  }

  #response(id: string): ResponseEntry {
    let response = this.#responses.get(id);
    if (response === undefined) {
      if (this.#responses.size >= MAX_LEDGER_RESPONSES) deleteOldest(this.#responses);
      response = { cut: false, active: false, inConversation: true };
      this.#responses.set(id, response);
    }
    return response;
  }

  #partsOf(responseId: string): PartEntry[] {
    return [...this.#parts.values()].filter((part) => part.responseId === responseId);
  }

  #hasAudio(responseId: string): boolean {
    return this.#partsOf(responseId).some((part) => part.arrivedSamples > 0);
  }
}

/** Whether the caller heard all that the upstream made, so that there is nothing to cut. */
function heardToTheEnd(part: PartEntry): boolean {
  return part.complete && part.playedSamples >= part.arrivedSamples;
}

function deleteOldest(map: LazyMap<string, unknown>): void {
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}

function keyOf(itemId: string, contentIndex: number): string {
  return `${contentIndex} ${itemId}`;
}
