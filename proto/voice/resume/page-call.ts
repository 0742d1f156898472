import { SessionCloseCode, VoiceProtocolError } from '../codes.ts';
import type { Message } from '../messages.ts';
import { type AnswerProgress, type Attached, isNumbered, MAX_OPEN_ANSWERS, type Resume } from './messages.ts';
import { MicrophoneArchive } from './microphone-archive.ts';
import { PageItems } from './page-items.ts';
import { ReplayLog } from './replay-log.ts';

/** Events of the page kept until a checkpoint holds their effect. */
export const MAX_KEPT_EVENTS = 1024;
export const MAX_KEPT_EVENT_OCTETS = 16 << 20;

/** From where on the page sends in a session, or again in the same one. */
export interface SendFrom {
  readonly microphoneSamples: number;
  /** Numbered events to send, in order, with their numbers. */
  readonly events: readonly Message[];
  /** Items that the page was told of and that a fresh upstream does not have. */
  readonly goneItems: readonly string[];
}

interface Answer {
  samples: number;
  ended: boolean;
  /** Not reported to the server as it is. */
  changed: boolean;
}

/**
 * The page's side of a call that outlives its sessions: what it sent and may have to send again, what it received, and what
 * to say when it attaches. It knows no session and no clock; the owner moves messages and audio.
 */
export class PageCall {
  readonly microphone: MicrophoneArchive;
  readonly #events: ReplayLog<Message>;
  readonly #answers = new Map<number, Answer>();
  readonly #items = new PageItems();
  #covered: ReadonlySet<number> = new Set();
  #ticket: string | undefined;
  #checkpoint: string | undefined;
  #attachment = 0;
  #nextAnswer = 0;
  #messages = 0;
  #reportedMessages = 0;
  #receivedEvents = 0;
  #receivedSamples = 0;
  #rewind = 0;
  #forgottenEvents = 0;

  constructor(limits: { readonly maxSamples?: number; readonly maxEventOctets?: number } = {}) {
    this.microphone = new MicrophoneArchive(limits.maxSamples);
    this.#events = new ReplayLog({
      maxEntries: MAX_KEPT_EVENTS,
      maxOctets: limits.maxEventOctets ?? MAX_KEPT_EVENT_OCTETS,
    });
  }

  /** Whether the call can be attached to again: it was ready once. */
  get resumable(): boolean {
    return this.#ticket !== undefined;
  }

  /** Number of rewinds; stands in the headers of microphone streams. */
  get rewind(): number {
    return this.#rewind;
  }

  /** Microphone samples that the backend has, in order. */
  get receivedSamples(): number {
    return this.#receivedSamples;
  }

  /** Numbered events sent that the backend has not acknowledged. */
  get pendingEvents(): number {
    return this.#events.next - Math.max(this.#receivedEvents, this.#events.first);
  }

  /** Events that had to be forgotten at the bound before a checkpoint held them: missed only if a backend dies now. */
  get forgottenEvents(): number {
    return this.#forgottenEvents;
  }

  /** For the hello of the next session; undefined for a call that begins. `unheard`: responses that are played still, newest last. */
  resume(move = false, unheard: readonly string[] = []): Resume | undefined {
    if (this.#ticket === undefined) return undefined;
    this.#attachment += 1;
    return {
      ticket: this.#ticket,
      attachment: this.#attachment,
      messages: this.#messages,
      answers: this.#openAnswers(),
      nextAnswer: this.#nextAnswer,
      ...(this.#checkpoint !== undefined && { checkpoint: this.#checkpoint }),
      microphoneSamples: this.microphone.firstSample,
      events: this.#events.first,
      ...(unheard.length > 0 && { unheard: unheard.slice(-MAX_OPEN_ANSWERS) }),
      ...(move && { move }),
    };
  }

  /** The backend took the session: what to send in it. Throws `VoiceProtocolError` when it asks for what is not kept. */
  attached(attached: Attached): SendFrom {
    this.#ticket = attached.ticket;
    if (attached.how !== 'attached') this.#messages = attached.messages;
    else if (attached.messages !== this.#messages)
      throw broken(`the server goes on at message ${attached.messages}, but ${this.#messages} were taken`);
    this.#reportedMessages = this.#messages;
    if (attached.how === 'restored') for (const answer of this.#answers.values()) end(answer);
    return { ...this.#sendFrom(attached, 'ready'), goneItems: this.itemsGone(attached) };
  }

  /** The upstream was replaced within a session: what to send again, behind `parley.rewound`. */
  rewound(message: {
    readonly rewind: number;
    readonly microphoneSamples: number;
    readonly events: number;
    readonly coveredEvents: readonly number[];
  }): Omit<SendFrom, 'goneItems'> {
    this.#rewind = message.rewind;
    return this.#sendFrom(message, 'rewind');
  }

  /** A fresh upstream was given the conversation up to `lastItem`, but for `goneItems` (`PageItems.gone`): those that it does not have. */
  itemsGone({ lastItem, goneItems }: Pick<Attached, 'lastItem' | 'goneItems'>): string[] {
    return this.#items.gone(lastItem, goneItems);
  }

  #sendFrom(
    {
      microphoneSamples,
      events,
      coveredEvents,
    }: Pick<SendFrom, 'microphoneSamples'> & {
      readonly events: number;
      readonly coveredEvents: readonly number[];
    },
    what: string,
  ): Omit<SendFrom, 'goneItems'> {
    if (!this.#events.reaches(events) || microphoneSamples > this.microphone.samples)
      throw broken(
        `${what} goes on at event ${events} and sample ${microphoneSamples}; kept are events ${this.#events.first} to ${this.#events.next}, and ${this.microphone.samples} samples were taken`,
      );
    this.#receivedEvents = events;
    this.#receivedSamples = microphoneSamples;
    this.#covered = new Set(coveredEvents);
    const messages: Message[] = [];
    for (const [number, message] of this.#events.from(events))
      if (!this.#covered.has(number)) messages.push(message);
      else messages.push(COVERED);
    return { microphoneSamples, events: messages };
  }

  /**
   * Keeps a message that is about to be sent, or that waits for a session. False when it cannot be kept: the network has
   * taken none for too long.
   */
  send(message: Message, octets: number): boolean {
    if (!isNumbered(message)) return true;
    while (this.#events.append(message, octets) === undefined) {
      // The backend has it; only a checkpoint is missing, and with a backend that lives it is never asked for.
      if (this.#events.first >= this.#receivedEvents) return false;
      this.#events.acknowledge(this.#events.first + 1);
      this.#forgottenEvents += 1;
    }
    return true;
  }

  /** A message of the server was taken; to be called for every one, in order. */
  received(message: Message): void {
    if (isNumbered(message)) this.#messages += 1;
    this.#items.take(message);
  }

  /** `parley.received`. Throws `VoiceProtocolError` when it acknowledges what was never sent. */
  acknowledged({ microphoneSamples, events }: { microphoneSamples: number; events: number }): void {
    if (events > this.#events.next || microphoneSamples > this.microphone.samples)
      throw broken(
        `the server acknowledges event ${events} and sample ${microphoneSamples}, which were never sent`,
      );
    this.#receivedEvents = Math.max(this.#receivedEvents, events);
    this.#receivedSamples = Math.max(this.#receivedSamples, microphoneSamples);
  }

  /** `parley.checkpoint`: what it holds need not be kept. */
  checkpoint(message: {
    readonly sealed: string;
    readonly microphoneSamples: number;
    readonly events: number;
  }): void {
    this.#checkpoint = message.sealed;
    this.microphone.release(message.microphoneSamples);
    if (!this.#events.acknowledge(message.events))
      throw broken(`a checkpoint holds event ${message.events}, which was never sent`);
  }

  /** Where an answer stream with this header goes on: samples of it that arrived before. Undefined for one that is over. */
  answerBegins(answer: number): number | undefined {
    this.#nextAnswer = Math.max(this.#nextAnswer, answer + 1);
    const known = this.#answers.get(answer);
    if (known?.ended) return undefined;
    if (known === undefined) {
      this.#answers.set(answer, { samples: 0, ended: false, changed: true });
      this.#forgetAnswers();
    }
    return known?.samples ?? 0;
  }

  answerReceived(answer: number, samples: number): void {
    const known = this.#answers.get(answer);
    if (known === undefined || known.ended) return;
    known.samples += samples;
    known.changed = true;
  }

  /** All of it arrived, or it was cut. */
  answerEnded(answer: number): void {
    const known = this.#answers.get(answer);
    if (known !== undefined) end(known);
  }

  /** What to tell the server, if anything is new: for `parley.received`. */
  report(): { readonly messages: number; readonly answers: AnswerProgress[] } | undefined {
    const answers: AnswerProgress[] = [];
    for (const [answer, state] of this.#answers) {
      if (!state.changed || answers.length >= MAX_OPEN_ANSWERS) continue;
      state.changed = false;
      answers.push({ answer, samples: state.samples, ended: state.ended });
    }
    if (answers.length === 0 && this.#messages === this.#reportedMessages) return undefined;
    this.#reportedMessages = this.#messages;
    return { messages: this.#messages, answers };
  }

  #openAnswers(): AnswerProgress[] {
    const open = [...this.#answers].slice(-MAX_OPEN_ANSWERS);
    return open.map(([answer, { samples, ended }]) => ({ answer, samples, ended }));
  }

  /** Answers that are over are remembered for as long as a stream of theirs may still come. */
  #forgetAnswers(): void {
    const oldest = this.#answers.keys().next().value;
    if (this.#answers.size > 4 * MAX_OPEN_ANSWERS && oldest !== undefined) this.#answers.delete(oldest);
  }
}

/** Stands in the place of an event that had its effect, so that both sides count alike. */
export const COVERED: Message = Object.freeze({ type: 'parley.covered' });

function end(answer: Answer): void {
  if (!answer.ended) answer.changed = true;
  answer.ended = true;
}

function broken(reason: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MALFORMED, reason);
}
