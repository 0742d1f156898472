import type { Message } from '../message.ts';

/** Events of the page whose effect is yet to be seen; far more than a page has under way. */
export const MAX_PENDING_EVENTS = 256;

interface Pending {
  readonly number: number;
  readonly type: string;
  /** ID of the item that it creates, and its own, where the page gave them. */
  itemId: string | undefined;
  readonly eventId: string | undefined;
  /** Microphone samples that come before it, for one that is bound to them. */
  readonly samples: number | undefined;
  /** Of a `response.create` that names some: its response has the same (`metadataOf`). */
  readonly metadata: string | undefined;
  responseId: string | undefined;
  covered: boolean;
}

/** Events whose effect shows later, and which a fresh upstream has to be given again while it has not. */
const AWAITED: ReadonlySet<string> = new Set([
  'session.update',
  'conversation.item.create',
  'response.create',
  'input_audio_buffer.commit',
  'input_audio_buffer.clear',
]);

/**
 * Which events of the page have had their effect, so that a conversation restored from its items has it too. `response.create`
 * must never be given twice once its response is over, nor a tool's result; and neither may be lost when the upstream ends
 * before it acted on them.
 */
export class PageEventCoverage {
  #pending: Pending[] = [];
  #next = 0;

  /** Goes on from a checkpoint: every event below `covered` had its effect, and those of `beyond`. */
  restore(covered: number, beyond: readonly number[]): void {
    this.#next = covered;
    this.#pending = [];
    for (const number of [...beyond].sort((a, b) => a - b)) {
      this.#fill(number);
      this.#pending.push({ ...UNKNOWN, number, covered: true });
      this.#next = number + 1;
    }
  }

  /** The event of this number was handed to the upstream. */
  sent(number: number, event: Message, samples: number | undefined): void {
    const known = this.#pending.findIndex((pending) => pending.number === number);
    const { type } = event;
    const { id } = (event.item ?? UNKNOWN) as { id?: unknown };
    const itemId = textOrNone(id);
    const eventId = textOrNone(event.event_id);
    const covered = !AWAITED.has(type);
    const metadata = type === 'response.create' ? metadataOf(event) : undefined;
    const entry: Pending = {
      number,
      type,
      itemId,
      eventId,
      samples,
      metadata,
      responseId: undefined,
      covered,
    };
    if (known >= 0) this.#pending[known] = entry;
    else {
      this.#fill(number);
      this.#pending.push(entry);
      this.#next = Math.max(this.#next, number + 1);
    }
    // One that shows no effect (it was refused) must not hold all later ones back.
    if (this.#pending.length > MAX_PENDING_EVENTS) this.#pending.shift();
  }

  /** Numbers between the last event and this one, of events that were refused or are yet to be given again. */
  #fill(number: number): void {
    const from = Math.max(this.#next, number - MAX_PENDING_EVENTS);
    for (let missing = from; missing < number; missing++) this.#pending.push({ ...UNKNOWN, number: missing });
  }

  /** The settings were taken: the oldest `session.update` had its effect. */
  sessionUpdated(): void {
    this.#happened('session.update', undefined);
  }

  /** An item is there. `unnamed`: it may be one that the page gave no ID. True when the page made it. */
  itemCreated(itemId: string, unnamed: boolean): boolean {
    const type = 'conversation.item.create';
    const entry = this.#happened(type, itemId) ?? (unnamed ? this.#happened(type, undefined) : undefined);
    if (entry !== undefined) entry.itemId = itemId;
    return entry !== undefined;
  }

  /** The upstream refused the event of this ID: that is all that will come of it, and it is not given again. */
  refused(eventId: string): void {
    for (const entry of this.#pending) if (entry.eventId === eventId) entry.covered = true;
  }

  /** The oldest such event for this item; without an item the oldest that names none. */
  #happened(type: string, itemId: string | undefined): Pending | undefined {
    const entry = this.#pending.find(
      (pending) => pending.type === type && pending.itemId === itemId && !pending.covered,
    );
    if (entry !== undefined) entry.covered = true;
    return entry;
  }

  /**
   * A response began: by the oldest `response.create` that has none, if there is one. Where metadata were named, which the API
   * gives back with the response, it is the one of these, and no other. `ofTurn`: the upstream may have begun it by itself.
   */
  responseBegan(responseId: string, event: Message, ofTurn: boolean): void {
    const metadata = metadataOf(event);
    if (ofTurn && metadata === undefined) return;
    const entry = this.#pending.find(
      (pending) =>
        pending.type === 'response.create' &&
        pending.metadata === metadata &&
        !pending.covered &&
        pending.responseId === undefined,
    );
    if (entry !== undefined) entry.responseId = responseId;
  }

  responseEnded(responseId: string): void {
    for (const entry of this.#pending) if (entry.responseId === responseId) entry.covered = true;
  }

  /** Sample of the oldest `commit` that was not answered; it is answered now. */
  committedAt(): number | undefined {
    return this.#answered('input_audio_buffer.commit');
  }

  /** Sample of the oldest `clear` that was not answered; it is answered now. */
  clearedAt(): number | undefined {
    return this.#answered('input_audio_buffer.clear');
  }

  #answered(type: string): number | undefined {
    const entry = this.#pending.find((pending) => pending.type === type && pending.responseId === undefined);
    if (entry === undefined) return undefined;
    entry.responseId = 'answered';
    return entry.samples;
  }

  /**
   * Every event below `covered` had its effect, and those of `beyond`, when audio up to `settledSamples` belongs to items
   * that are restored. A `commit` behind that must be given again with its audio, and so must the items of `leftOut`.
   */
  covered(
    settledSamples: number,
    leftOut: ReadonlySet<string>,
  ): { readonly covered: number; readonly beyond: number[] } {
    const done = ({ covered, samples, itemId }: Pending) =>
      (covered && (itemId === undefined || !leftOut.has(itemId))) ||
      (samples !== undefined && samples <= settledSamples);
    const first = this.#pending.findIndex((entry) => !done(entry));
    const covered = first < 0 ? this.#next : this.#pending[first]!.number;
    if (first > 0) this.#pending.splice(0, first);
    else if (first < 0) this.#pending = [];
    const beyond = this.#pending.filter(done).map(({ number }) => number);
    return { covered, beyond };
  }
}

const UNKNOWN = Object.freeze({
  type: '',
  itemId: undefined,
  eventId: undefined,
  samples: undefined,
  metadata: undefined,
  responseId: undefined,
  covered: false,
});

function textOrNone(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Octets of metadata that are remembered: the API takes 16 pairs of at most 576. */
const MAX_METADATA_LENGTH = 16 * 600;

/** The metadata of a `response.create`, or of a response, as text that is the same for the same ones; undefined without any. */
function metadataOf({ response }: Message): string | undefined {
  const { metadata } = (response ?? UNKNOWN) as { metadata?: unknown };
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  // The API takes texts; what it does not take is refused, and need not be known again.
  const pairs = Object.entries(metadata)
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(pairs);
  return pairs.length === 0 || text.length > MAX_METADATA_LENGTH ? undefined : text;
}
