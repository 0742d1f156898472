import {
  errorMessage,
  isNumbered,
  isParleyMessage,
  MAX_PARLEY_MESSAGE_OCTETS,
  type Message,
  type OrderedMessage,
  parseClientMessage,
  type ReceivedMessage,
  type ServerMessage,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import { formatProblem } from '../realtime/index.ts';
import { DEFAULT_ALLOWED_EVENTS } from './context.ts';
import type { Cuts } from './cuts.ts';
import type { Microphone } from './microphone.ts';

const defaultAllowed: ReadonlySet<string> = new Set(DEFAULT_ALLOWED_EVENTS);

/** What the page's messages act on. */
export interface PageMessagesHost {
  /** Types of events that pass; the defaults when undefined. */
  readonly allowed: ReadonlySet<string> | undefined;
  readonly cuts: Cuts;
  readonly microphone: Microphone;
  /** The page has said hello, as it should. */
  hello(): void;
  underruns(count: number): void;
  tell(message: ServerMessage): void;
  /** Something was refused; the page was told. */
  refused(): void;
}

/** What a page says on the control stream: Parley's own messages, and events of the Realtime API for the upstream. */
export class PageMessages {
  readonly #host: PageMessagesHost;
  readonly #allowed: ReadonlySet<string>;
  #greeted = false;
  #events = 0;

  constructor(host: PageMessagesHost) {
    this.#host = host;
    this.#allowed = host.allowed ?? defaultAllowed;
  }

  /** Numbered events of the page taken so far. */
  get events(): number {
    return this.#events;
  }

  /** Throws `VoiceProtocolError` when the page broke the protocol. */
  receive({ message, json, octets }: ReceivedMessage): void {
    if (isNumbered(message)) this.#events += 1;
    if (!this.#greeted) this.#greet(message);
    else if (!isParleyMessage(message)) this.#event(message, json);
    else if (octets > MAX_PARLEY_MESSAGE_OCTETS) this.#refuseLength(message, octets);
    else this.#parleyMessage(message);
  }

  #greet(message: Message): void {
    const hello = message.type === 'parley.hello' ? parseClientMessage(message) : undefined;
    if (hello?.type !== 'parley.hello') {
      throw new VoiceProtocolError(
        SessionCloseCode.MALFORMED,
        `The first message must be parley.hello, not ${message.type.slice(0, 64)}.`,
      );
    }
    if (hello.protocol !== VOICE_PROTOCOL || !hello.codecs.includes(VOICE_CODEC)) {
      throw new VoiceProtocolError(
        SessionCloseCode.UNSUPPORTED,
        `This backend speaks voice protocol ${VOICE_PROTOCOL} with the codec ${VOICE_CODEC}.`,
      );
    }
    this.#greeted = true;
    this.#host.hello();
  }

  #parleyMessage(message: Message): void {
    const { cuts } = this.#host;
    const known = parseClientMessage(message);
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
      case 'parley.ordered':
        this.#ordered(known);
        break;
      case 'parley.received':
        break;
      default:
        this.#refuse(message.type);
    }
  }

  #event(event: Message, json: string): void {
    if (this.#takes(event) && this.#host.cuts.pageEvent(event)) this.#host.microphone.event(json);
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
  #ordered({ event, microphoneSamples }: OrderedMessage): void {
    let json: string | undefined;
    if (this.#takes(event) && this.#host.cuts.pageEvent(event)) {
      json = toJson(event);
      if (json === undefined) this.#refuse(event.type, 'it is nested too deep');
    }
    this.#host.microphone.event(json, microphoneSamples);
  }

  #refuse(type: string, because = 'its type is not on the list of those that pass'): void {
    this.#host.refused();
    const sentence = `This backend does not take ${type.slice(0, 64)} from a page: ${because.replace(/\.$/, '')}.`;
    this.#host.tell(errorMessage('event_refused', sentence));
  }

  #refuseLength({ type, ...message }: Message, octets: number): void {
    this.#host.refused();
    const sentence = `${type.slice(0, 64)} of ${octets} octets was left out: such a message may have ${MAX_PARLEY_MESSAGE_OCTETS}.`;
    this.#host.tell(errorMessage('event_too_large', sentence));
    // Stretches may wait for the number of an ordered event that is refused, too.
    if (type === 'parley.ordered' && Number.isSafeInteger(message.microphoneSamples))
      this.#host.microphone.event(undefined, message.microphoneSamples as number);
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
