import {
  AUDIO_BOUND_EVENTS,
  encodeMessage,
  MAX_MESSAGE_OCTETS,
  MAX_PARLEY_MESSAGE_OCTETS,
  type Message,
  type MessageDecoder,
} from '../proto/voice/index.ts';
import { CallError } from './errors.ts';

/** Octets of events that may wait for the network: four of the longest. */
const MAX_WAITING_OCTETS = 4 * MAX_MESSAGE_OCTETS;
/** Sent before audio, which is at 0. Browsers without sendOrder (Chromium) share fairly instead. */
export const CONTROL_SEND_ORDER = 1;

/** Octets that `parley.ordered` puts round an event. */
const ENVELOPE_OCTETS = 128;

/** Throws `CallError` when an event is longer than the backend takes. */
export function checkEventSize(event: { readonly type: string }): void {
  const octets = encodeMessage(event).length;
  const isOrdered = AUDIO_BOUND_EVENTS.has(event.type);
  const bound = isOrdered ? MAX_PARLEY_MESSAGE_OCTETS - ENVELOPE_OCTETS : MAX_MESSAGE_OCTETS;
  if (octets <= bound) return;
  throw new CallError(
    'event_too_large',
    `The event ${event.type} was not sent: it has ${octets} octets, and ${bound} are allowed.`,
    'Send less at once, an image in a smaller size for example.',
    { retry: false },
  );
}

/** The control stream: messages both ways, in order. */
export class ControlStream {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #readable: ReadableStream<Uint8Array>;
  #waitingOctets = 0;

  constructor(stream: {
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }) {
    this.#writer = stream.writable.getWriter();
    this.#writer.closed.catch(() => undefined);
    this.#readable = stream.readable;
  }

  /** Sends an encoded message. Throws `CallError` when too much waits; a broken connection shows in `messages`. */
  write(octets: Uint8Array): void {
    if (this.#waitingOctets + octets.length > MAX_WAITING_OCTETS) {
      throw new CallError(
        'queue_full',
        `The network took no events for too long: ${MAX_WAITING_OCTETS} octets wait.`,
        'Check the network, then call again.',
      );
    }
    this.#waitingOctets += octets.length;
    const sent = () => {
      this.#waitingOctets -= octets.length;
    };
    this.#writer.write(octets).then(sent, sent);
  }

  /** Fulfils when everything sent so far was taken by the transport. */
  async flushed(): Promise<void> {
    await this.#writer.ready.catch(() => undefined);
  }

  /** Messages as they come; ends with the stream, throws `VoiceProtocolError` on a malformed one. */
  async *messages(decoder: MessageDecoder): AsyncGenerator<Message> {
    const reader = this.#readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      decoder.push(value);
      for (let message = decoder.next(); message !== undefined; message = decoder.next()) yield message;
    }
  }
}
