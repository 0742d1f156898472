import type { ReadableStreamDefaultReader } from 'node:stream/web';
import {
  encodeMessage,
  errorMessage,
  MAX_MESSAGE_OCTETS,
  type Message,
  MessageDecoder,
  type ServerMessage,
  StreamCode,
} from '../../proto/voice/index.ts';
import { type BidirectionalStream, StreamError } from '../webtransport/types.ts';
import { ignore, StreamSender } from './stream-sender.ts';

/** The control stream: whole messages in, whole messages out, in order. */
export class Control {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #sender: StreamSender;
  readonly #decoder: MessageDecoder;
  #queuedOctets = 0;
  #stopped = false;

  /** `queued` hears of octets that wait for the page (above 0), or no longer do (below 0). */
  constructor(stream: BidirectionalStream, maxOctets: number, queued: (octets: number) => void) {
    this.#decoder = new MessageDecoder(maxOctets);
    this.#reader = stream.readable.getReader();
    this.#reader.closed.catch(ignore);
    const gone = (octets: number) => {
      this.#queuedOctets -= octets;
      queued(-octets);
    };
    this.#sender = new StreamSender(() => Promise.resolve(stream.writable), { taken: gone, dropped: gone });
    this.#queued = queued;
  }

  readonly #queued: (octets: number) => void;

  /** Octets of messages that wait for the page. */
  get queuedOctets(): number {
    return this.#queuedOctets;
  }

  send(message: ServerMessage): void {
    this.#push(encodeMessage(message));
  }

  /** Passes an event of the upstream on, as it is; one that the page would refuse for its length is named instead. */
  forward(event: Message): void {
    const octets = encodeMessage(event);
    if (octets.length <= MAX_MESSAGE_OCTETS) this.#push(octets);
    else {
      const sentence = `${event.type.slice(0, 64)} of ${octets.length} octets was left out: a message may have ${MAX_MESSAGE_OCTETS}.`;
      this.send(errorMessage('event_too_large', sentence));
    }
  }

  #push(octets: Uint8Array): void {
    this.#queuedOctets += octets.length;
    this.#queued(octets.length);
    this.#sender.push(octets);
  }

  /**
   * Gives every message to `handle`, until the page ends the stream. Rejects with `VoiceProtocolError` on a malformed
   * message, with the stream's error when it broke.
   */
  async read(handle: (message: Message) => void): Promise<void> {
    while (!this.#stopped) {
      const { done, value } = await this.#reader.read();
      if (done || this.#stopped) return;
      this.#decoder.push(value);
      for (let message = this.#decoder.next(); message !== undefined; message = this.#decoder.next()) {
        handle(message);
        if (this.#stopped) return;
      }
    }
  }

  /** Ends the stream behind the messages sent so far; fulfils when the transport has them all. */
  async finish(): Promise<void> {
    this.#sender.end();
    await this.#sender.idle();
  }

  /** Stops reading, and writing too. */
  stop(): void {
    this.#stopped = true;
    this.#sender.abort(StreamCode.SESSION_CLOSED);
    this.#reader.cancel(new StreamError(StreamCode.SESSION_CLOSED, 'the session is over')).catch(ignore);
  }

  /** Stops reading only: what was sent may still leave. */
  stopReading(): void {
    this.#stopped = true;
  }
}

/** Refuses a stream that this side has no use for. */
export function refuseStream(stream: BidirectionalStream): void {
  const error = new StreamError(StreamCode.UNEXPECTED, 'only one bidirectional stream is expected');
  stream.readable.cancel(error).catch(ignore);
  stream.writable.abort(error).catch(ignore);
}
