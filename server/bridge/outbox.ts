import {
  BackendCall,
  encodeMessage,
  errorMessage,
  isMessageType,
  MAX_MESSAGE_OCTETS,
  type Message,
  type ServerMessage,
} from '../../proto/voice/index.ts';

/** What the messages need of their call. */
export interface OutboxHost {
  /** Writes an encoded message to the session that carries the call, if there is one. */
  push(octets: Uint8Array): void;
  /** More waits for the page's acknowledgement than may. */
  overflowed(): void;
}

/** Messages for the page: those that count are kept until it has them, whether or not a session carries the call now. */
export class Outbox {
  readonly call = new BackendCall();
  /** Whether there is a page that acknowledges. */
  readonly #keeps: boolean;
  readonly #host: OutboxHost;

  constructor(keeps: boolean, host: OutboxHost) {
    this.#keeps = keeps;
    this.#host = host;
  }

  send(message: ServerMessage): void {
    this.#push(message, encodeMessage(message));
  }

  /**
   * Passes an event of the upstream on, as it is. False when a message cannot carry it: one that is too long, of which the page
   * is told, or one that is nested so deep that it cannot be written, or whose type is none.
   */
  forward(event: Message): boolean {
    if (!isMessageType(event.type)) return false;
    const octets = tryEncode(event);
    if (octets === undefined) return false;
    if (octets.length <= MAX_MESSAGE_OCTETS) {
      this.#push(event, octets);
      return true;
    }
    const sentence = `${event.type.slice(0, 64)} of ${octets.length} octets was left out: a message may have ${MAX_MESSAGE_OCTETS}.`;
    this.send(errorMessage('event_too_large', sentence));
    return false;
  }

  #push(message: Message | ServerMessage, octets: Uint8Array): void {
    if (this.#keeps && !this.call.send(message as Message, octets)) {
      this.#host.overflowed();
      return;
    }
    this.#host.push(octets);
  }
}

/** Undefined for a message nested deeper than `JSON.stringify` can follow. */
function tryEncode(message: Message): Uint8Array | undefined {
  try {
    return encodeMessage(message);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
