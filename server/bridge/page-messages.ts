import {
  type AnswerProgress,
  type DownlinkMessage,
  errorMessage,
  isParleyMessage,
  MAX_PARLEY_MESSAGE_OCTETS,
  type Message,
  type OrderedMessage,
  parseClientMessage,
  type ReceivedMessage,
  type ServerMessage,
  type UplinkMessage,
} from '../../proto/voice/index.ts';
import { formatProblem } from '../realtime/index.ts';
import { DEFAULT_ALLOWED_EVENTS } from './context.ts';
import type { Cuts } from './cuts.ts';
import type { Microphone } from './microphone.ts';

const defaultAllowed: ReadonlySet<string> = new Set(DEFAULT_ALLOWED_EVENTS);
/** Stands for a message that was acted on, or refused, at once: nothing of it is to be given again. */
const SETTLED: Message = Object.freeze({ type: 'parley.settled' });

/** What the page's messages act on. */
export interface PageMessagesHost {
  /** Types of events that pass; the defaults when undefined. */
  readonly allowed: ReadonlySet<string> | undefined;
  /** Longest message that is taken, in octets of JSON. */
  readonly maxOctets: number;
  readonly cuts: Cuts;
  /** The event as it is to be given to the upstream; undefined when it is left out. */
  change(event: Message): Message | undefined;
  readonly microphone: Microphone;
  /** The page says how far it got. */
  received(messages: number, answers: readonly AnswerProgress[]): void;
  /** The page sends again, as it was asked to. */
  rewound(rewind: number): void;
  underruns(count: number): void;
  /** The page says where its microphone is, */
  uplink(message: UplinkMessage): void;
  /** and in which codec it wants answers. */
  downlink(message: DownlinkMessage): void;
  tell(message: ServerMessage): void;
  /** Something was refused; the page was told. */
  refused(): void;
  /** The message of this number has had what effect it will have. */
  settled(number: number, message: Message): void;
}

/** What a page says behind its hello: Parley's own messages, and events of the Realtime API for the upstream. */
export class PageMessages {
  readonly #host: PageMessagesHost;
  readonly #allowed: ReadonlySet<string>;

  constructor(host: PageMessagesHost) {
    this.#host = host;
    this.#allowed = host.allowed ?? defaultAllowed;
  }

  /** `number` is the message's in the call, undefined for one that is not numbered. Throws `VoiceProtocolError`. */
  receive({ message, json, octets }: ReceivedMessage, number: number | undefined): void {
    if (!isParleyMessage(message)) this.#event(message, json, number ?? 0);
    else if (octets > MAX_PARLEY_MESSAGE_OCTETS) this.#refuseLength(message, octets, number);
    else this.#parleyMessage(message, number);
  }

  /** A message above the bound came and was left out. */
  skipped(octets: number, number: number | undefined): void {
    if (number !== undefined) this.#host.settled(number, SETTLED);
    this.#host.refused();
    const sentence = `An event of ${octets} octets was left out: this backend takes ${this.#host.maxOctets}.`;
    this.#host.tell(errorMessage('event_too_large', sentence));
  }

  #parleyMessage(message: Message, number: number | undefined): void {
    const { cuts } = this.#host;
    const known = parseClientMessage(message);
    if (known?.type === 'parley.ordered') {
      this.#ordered(known, number ?? 0);
      return;
    }
    if (number !== undefined) this.#host.settled(number, SETTLED);
    switch (known?.type) {
      case 'parley.playback.position':
        this.#host.underruns(known.underruns ?? 0);
        cuts.position(known);
        break;
      case 'parley.playback.cleared':
        cuts.cleared(known.responseIds);
        break;
      case 'parley.interrupt':
        cuts.interrupt();
        break;
      case 'parley.received':
        this.#host.received(known.messages, known.answers);
        break;
      case 'parley.rewound':
        this.#host.rewound(known.rewind);
        break;
      case 'parley.uplink':
        this.#host.uplink(known);
        break;
      case 'parley.downlink':
        this.#host.downlink(known);
        break;
      default:
        this.#refuse(message.type);
    }
  }

  #event(message: Message, json: string, number: number): void {
    const changed = this.#takes(message) ? this.#host.change(message) : undefined;
    const text = changed === message ? json : changed && this.#write(changed);
    if (changed !== undefined && text !== undefined && this.#host.cuts.pageEvent(changed))
      this.#host.microphone.event(text, { number, message: changed, samples: undefined });
    else this.#host.settled(number, SETTLED);
  }

  /** Whether an event may pass; if not, the page is told why. */
  #takes(event: Message): boolean {
    const problem = formatProblem(event);
    if (!this.#allowed.has(event.type)) this.#refuse(event.type);
    else if (problem !== undefined) this.#refuse(event.type, problem);
    else return true;
    return false;
  }

  /** One that is refused still counts: stretches may wait for its number. */
  #ordered({ event, microphoneSamples }: OrderedMessage, number: number): void {
    const changed = this.#takes(event) ? this.#host.change(event) : undefined;
    const passes = changed !== undefined && this.#host.cuts.pageEvent(changed);
    const json = passes ? this.#write(changed) : undefined;
    if (json === undefined) this.#host.settled(number, SETTLED);
    this.#host.microphone.event(json, { number, message: changed ?? event, samples: microphoneSamples });
  }

  #write(event: Message): string | undefined {
    const json = toJson(event);
    if (json === undefined) this.#refuse(event.type, 'it is nested too deep');
    return json;
  }

  #refuse(type: string, because = 'its type is not on the list of those that pass'): void {
    this.#host.refused();
    const sentence = `This backend does not take ${type.slice(0, 64)} from a page: ${because.replace(/\.$/, '')}.`;
    this.#host.tell(errorMessage('event_refused', sentence));
  }

  #refuseLength({ type, ...message }: Message, octets: number, number: number | undefined): void {
    if (number !== undefined) this.#host.settled(number, SETTLED);
    this.#host.refused();
    const sentence = `${type.slice(0, 64)} of ${octets} octets was left out: such a message may have ${MAX_PARLEY_MESSAGE_OCTETS}.`;
    this.#host.tell(errorMessage('event_too_large', sentence));
    // Stretches may wait for the number of an ordered event that is refused, too.
    if (type === 'parley.ordered' && Number.isSafeInteger(message.microphoneSamples))
      this.#host.microphone.event(undefined, {
        number: number ?? 0,
        message: SETTLED,
        samples: message.microphoneSamples as number,
      });
  }
}

/** Undefined for a value nested deeper than `JSON.stringify` can follow. */
function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
