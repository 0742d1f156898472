import { SessionCloseCode, VoiceProtocolError } from '../codes.ts';
import type { Message } from '../messages.ts';
import type { ConversationSnapshot } from './conversation-record.ts';
import { type HowAttached, isNumbered, MAX_ITEM_NAME_LENGTH, type Resume } from './messages.ts';
import { COVERED } from './page-call.ts';
import { ReplayLog } from './replay-log.ts';

/** Messages kept for a page that may be gone: more than a minute of a conversation's events. */
export const MAX_KEPT_MESSAGES = 16_384;
/** As much as may wait on a control stream: two messages of the longest. */
export const MAX_KEPT_MESSAGE_OCTETS = 16 << 20;

/** Where a session that was attached goes on. */
export interface GoOn {
  readonly how: HowAttached;
  readonly microphoneSamples: number;
  readonly events: number;
  readonly coveredEvents: number[];
  readonly messages: number;
  /** Last item of the conversation that a fresh upstream was given; null for an empty one, undefined when it is not known. */
  readonly lastItem?: string | null | undefined;
  /** Items that it was not given though it was some behind them. */
  readonly goneItems?: string[] | undefined;
}

/** Why a session may not carry the call. */
export type AttachRefusal =
  /** A newer attempt of the page carries it, or did. */
  | 'superseded'
  /** The page took less, or has kept less, than would be needed to go on. */
  | 'gap';

/**
 * The backend's side of a call that outlives its sessions: which messages the page may still have to be given, how many of its
 * events were taken, and which session carries the call. It knows no session, no upstream and no clock.
 */
export class BackendCall {
  readonly #messages: ReplayLog<Uint8Array>;
  #attachment = 0;
  #events = 0;
  #samples = 0;
  #rewind = 0;
  /** The page has not said yet that it sends again: what still comes was sent before the rewind. */
  #awaitsRewound = false;
  /** Events at or behind `#events` that had their effect: the page says so in their place when it sends again. */
  #covered: readonly number[] = [];

  constructor(limits = { maxEntries: MAX_KEPT_MESSAGES, maxOctets: MAX_KEPT_MESSAGE_OCTETS }) {
    this.#messages = new ReplayLog(limits);
  }

  /** Numbered events of the page taken so far. */
  get events(): number {
    return this.#events;
  }

  /** Rewinds so far: microphone streams of an older one are not read. */
  get rewind(): number {
    return this.#rewind;
  }

  /** The newest attachment of the page, 0 for the first session. */
  get attachment(): number {
    return this.#attachment;
  }

  /** Octets that wait for the page's acknowledgement. */
  get keptOctets(): number {
    return this.#messages.octets;
  }

  /**
   * Keeps a message that is about to be written, when it is one that counts. False when too many wait for the page: the call
   * cannot be carried on exactly and has to end.
   */
  send(message: Message, encoded: Uint8Array): boolean {
    return !isNumbered(message) || this.#messages.append(encoded, encoded.length) !== undefined;
  }

  /** The page's `parley.received`. Throws `VoiceProtocolError` when it acknowledges what was never sent. */
  acknowledged(messages: number): void {
    if (!this.#messages.acknowledge(messages))
      throw new VoiceProtocolError(
        SessionCloseCode.MALFORMED,
        `the page acknowledges message ${messages}, but ${this.#messages.next} were sent`,
      );
  }

  /**
   * A message of the page came. Gives its number when it is to be acted on, undefined when it is not: it was sent before a
   * rewind, or stands for one that had its effect. A message that is not numbered is the owner's to act on.
   */
  take(message: Message): number | undefined {
    if (this.#awaitsRewound) return undefined;
    const number = this.#events;
    this.#events += 1;
    return message.type === COVERED.type ? undefined : number;
  }

  /** Microphone samples handed on, in order. */
  microphone(samples: number): void {
    this.#samples = samples;
  }

  /** A page that lost its session attaches: how to go on, or why not. */
  attach(resume: Resume): GoOn | AttachRefusal {
    if (resume.attachment <= this.#attachment) return 'superseded';
    const kept = this.#messages.reaches(resume.messages);
    // What the page can send again must reach back to what came here.
    if (!kept || resume.events > this.#events || resume.microphoneSamples > this.#samples) return 'gap';
    this.#attachment = resume.attachment;
    this.#messages.acknowledge(resume.messages);
    // A session that is attached sends from here on anyway.
    this.#awaitsRewound = false;
    return {
      how: 'attached',
      microphoneSamples: this.#samples,
      events: this.#events,
      coveredEvents: this.#covered.filter((number) => number >= this.#events),
      messages: resume.messages,
    };
  }

  /** The messages that the page is yet to be given, in order, after `attach`. */
  *unacknowledged(): Generator<Uint8Array> {
    for (const [, encoded] of this.#messages.from(this.#messages.first)) yield encoded;
  }

  /** A call that another backend began goes on here, from a checkpoint. The owner says which items there are (`whichItems`). */
  restored(resume: Resume, snapshot: ConversationSnapshot): GoOn | AttachRefusal {
    const { microphoneSamples, pageEvents, coveredPageEvents } = snapshot;
    // Older than what the page kept: words or events would be missing in between.
    if (resume.events > pageEvents) return 'gap';
    this.#attachment = resume.attachment;
    this.#events = pageEvents;
    this.#covered = coveredPageEvents;
    this.#samples = Math.max(microphoneSamples, resume.microphoneSamples);
    return {
      how: 'restored',
      microphoneSamples: this.#samples,
      events: pageEvents,
      coveredEvents: [...coveredPageEvents],
      messages: 0,
    };
  }

  /**
   * The upstream was replaced while a session goes on. Gives what to tell the page (`parley.rewind`): what it sent since is
   * not read, until it says that it sends again.
   */
  rewound(snapshot: ConversationSnapshot): Omit<GoOn, 'how' | 'messages'> & { readonly rewind: number } {
    this.#rewind += 1;
    this.#awaitsRewound = true;
    this.#events = snapshot.pageEvents;
    this.#covered = snapshot.coveredPageEvents;
    this.#samples = snapshot.microphoneSamples;
    return {
      rewind: this.#rewind,
      microphoneSamples: snapshot.microphoneSamples,
      events: snapshot.pageEvents,
      coveredEvents: [...snapshot.coveredPageEvents],
    };
  }

  /** `parley.rewound`: what follows was sent after that rewind. */
  pageRewound(rewind: number): void {
    if (rewind === this.#rewind) this.#awaitsRewound = false;
  }
}

/** Tells a page which of its items a fresh upstream has: all up to the last one but for some. `hidden`: the page never saw it. */
export function whichItems(
  snapshot: ConversationSnapshot,
  hidden: (itemId: string) => boolean = () => false,
): Pick<GoOn, 'lastItem' | 'goneItems'> {
  const { goneItems } = snapshot;
  return {
    lastItem: lastItemOf(snapshot, hidden),
    ...(goneItems.length > 0 && { goneItems: [...goneItems] }),
  };
}

/** The last item of what is restored; null where that is nothing. Not known where all that there was is left out: the page's own copy of it is as good as any. */
function lastItemOf(
  { items, omittedItems }: ConversationSnapshot,
  hidden: (itemId: string) => boolean,
): string | null | undefined {
  const last = items.findLast(({ id }) => !hidden(id));
  if (last === undefined) return omittedItems > 0 ? undefined : null;
  return last.id.length <= MAX_ITEM_NAME_LENGTH ? last.id : undefined;
}
