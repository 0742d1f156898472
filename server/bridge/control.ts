import type { ReadableStreamDefaultReader } from 'node:stream/web';
import {
  encodeMessage,
  MessageDecoder,
  type ReceivedMessage,
  type ServerMessage,
  StreamCode,
} from '../../proto/voice/index.ts';
import { type BidirectionalStream, StreamError } from '../webtransport/types.ts';
import { ignore, StreamSender } from './stream-sender.ts';
import type { MessageHolder, UnfinishedMessages } from './unfinished-messages.ts';

/** What a message that waits costs beside its octets. */
const ENTRY_OVERHEAD_OCTETS = 128;

/** What the control stream needs of its session. */
export interface ControlHost {
  /** A message that came; `json` is what it came as. */
  message(received: ReceivedMessage): void;
  /** Something is to be waited for before more is read; undefined when nothing is. */
  hold(): Promise<void> | undefined;
  /** More waits for the page than may. */
  overflowed(): void;
  /** The message that is under way is not to be waited for: too much of such is held in the whole process. */
  givenUp(): void;
  /** A message of the page was left out for its length, in octets. */
  skipped(octets: number): void;
}

export interface ControlLimits {
  /** Longest message that is taken, in octets of JSON. */
  readonly maxMessageOctets: number;
  /** Octets that may wait for the page, with what keeping them costs. */
  readonly maxQueueOctets: number;
  /** Octets waiting for the page above which nothing is read from it: what it sends may need an answer. */
  readonly readPauseOctets: number;
  /** Bounds what is held of unfinished messages in the whole process; absent: each stream has its own bound alone. */
  readonly unfinished?: UnfinishedMessages | undefined;
}

/** The control stream: whole messages in, whole messages out, in order. */
export class Control implements MessageHolder {
  readonly #host: ControlHost;
  readonly #limits: ControlLimits;
  readonly #stream: BidirectionalStream;
  /** Made for what cannot be read directly: the end, where the carrier has that. */
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #arrived: (() => void) | undefined;
  readonly #sender: StreamSender;
  #decoder: MessageDecoder;
  #queuedOctets = 0;
  #stopped = false;
  #waiters: (() => void)[] = [];

  constructor(stream: BidirectionalStream, limits: ControlLimits, host: ControlHost) {
    this.#host = host;
    this.#limits = limits;
    this.#decoder = new MessageDecoder(limits.maxMessageOctets);
    this.#stream = stream;
    const gone = (octets: number) => this.#gone(octets + ENTRY_OVERHEAD_OCTETS);
    this.#sender = new StreamSender(
      () => Promise.resolve(stream.writable),
      { taken: gone, dropped: gone },
      stream.directWriter,
    );
  }

  /** Octets of messages that wait for the page, with what keeping them costs: few long ones or many short ones. */
  get queuedOctets(): number {
    return this.#queuedOctets;
  }

  send(message: ServerMessage): void {
    this.push(encodeMessage(message));
  }

  /** Sends a message that is encoded already. */
  push(octets: Uint8Array): void {
    this.#queuedOctets += octets.length + ENTRY_OVERHEAD_OCTETS;
    this.#sender.push(octets);
    if (this.#queuedOctets > this.#limits.maxQueueOctets) this.#host.overflowed();
  }

  #gone(octets: number): void {
    this.#queuedOctets -= octets;
    if (this.#queuedOctets <= this.#limits.readPauseOctets) this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /**
   * Gives every message to the host, until the page ends the stream. While what was sent waits for the page, or the host holds
   * much, nothing is read. Rejects with `VoiceProtocolError` on a malformed message, with the stream's error when it broke.
   */
  async read(): Promise<void> {
    while (!this.#stopped) {
      const octets = await this.#next();
      if (octets === undefined || this.#stopped) return;
      this.#decoder.push(octets);
      for (let frame = this.#decoder.read(); frame !== undefined; frame = this.#decoder.read()) {
        if ('message' in frame) this.#host.message(frame);
        else this.#host.skipped(frame.skippedOctets);
        // Nothing is awaited where nothing has to be waited for: that is after nearly every message.
        for (let wait = this.#waitFor(); wait !== undefined; wait = this.#waitFor()) await wait;
        if (this.#stopped) return;
      }
      this.#limits.unfinished?.holds(this, this.#decoder.bufferedOctets);
    }
  }

  /** What comes next; undefined at the end, and once it is stopped. */
  async #next(): Promise<Uint8Array | undefined> {
    const { direct } = this.#stream;
    while (direct !== undefined && !direct.over && !this.#stopped) {
      const octets = direct.readNow();
      if (octets !== undefined) return octets;
      // The end may have come with that look at it, and nothing would tell of it again.
      if (direct.over) break;
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
        direct.onReadable(resolve);
      });
    }
    if (this.#stopped) return undefined;
    const { value } = await this.#streamReader().read();
    return value;
  }

  #streamReader(): ReadableStreamDefaultReader<Uint8Array> {
    if (this.#reader === undefined) {
      this.#reader = this.#stream.readable.getReader();
      this.#reader.closed.catch(ignore);
    }
    return this.#reader;
  }

  giveUp(): void {
    this.stopReading();
    this.#host.givenUp();
  }

  #waitFor(): Promise<void> | undefined {
    if (this.#stopped) return undefined;
    if (this.#queuedOctets > this.#limits.readPauseOctets) {
      return new Promise((resolve) => this.#waiters.push(resolve));
    }
    return this.#host.hold();
  }

  /** Ends the stream behind the messages sent so far; fulfils when the transport has them all. */
  async finish(): Promise<void> {
    this.#sender.end();
    await this.#sender.over;
  }

  /** Stops reading, and writing too. */
  stop(): void {
    this.stopReading();
    this.#sender.abort(StreamCode.SESSION_CLOSED);
    const error = new StreamError(StreamCode.SESSION_CLOSED, 'the session is over');
    this.#streamReader().cancel(error).catch(ignore);
  }

  /** Stops reading only: what was sent may still leave. */
  stopReading(): void {
    this.#stopped = true;
    this.#decoder = new MessageDecoder(0);
    this.#limits.unfinished?.holds(this, 0);
    this.#wake();
    this.#arrived?.();
  }
}

/** Refuses a stream that this side has no use for. */
export function refuseStream(stream: BidirectionalStream): void {
  const error = new StreamError(StreamCode.UNEXPECTED, 'only one bidirectional stream is expected');
  stream.readable.cancel(error).catch(ignore);
  stream.writable.abort(error).catch(ignore);
}
