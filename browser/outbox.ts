import { AUDIO_BOUND_EVENTS } from '../proto/voice/index.ts';
import { CallError } from './errors.ts';

/** Events that may wait for the end of a stretch. */
export const MAX_WAITING_EVENTS = 256;
/** How long they wait for it: the worklet answers within a few ms, unless the system took the audio engine away. */
const STRETCH_END_MS = 1000;

type Event = { readonly type: string };

/** What the outbox needs of its call. */
export interface OutboxHost {
  /** Whether samples from before a mute are still on their way from the worklet. */
  closing(): boolean;
  /** Marks this place in the audio; gives the samples before it. */
  order(): number;
  send(message: Event): void;
  /** Sending failed later, when no caller of `send` could be thrown at. */
  failed(error: unknown): void;
}

/**
 * Events of the page on their way to the control stream, in order. Those that mean a place in the audio say which
 * (`parley.ordered`); after a mute they wait until the last sample has left the worklet, so that no word is behind them.
 */
export class Outbox {
  readonly #host: OutboxHost;
  #waiting: Event[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: OutboxHost) {
    this.#host = host;
  }

  /** Throws `CallError` when too many wait, and what the control stream throws. */
  send(event: Event): void {
    if (!this.#host.closing() && this.#waiting.length === 0) {
      this.#sendNow(event);
      return;
    }
    if (this.#waiting.length >= MAX_WAITING_EVENTS) {
      throw new CallError(
        'queue_full',
        `${MAX_WAITING_EVENTS} events wait for the microphone to stop.`,
        'Send fewer events while it is being muted.',
      );
    }
    this.#waiting.push(event);
    this.#timer ??= setTimeout(() => this.#flush(), STRETCH_END_MS);
  }

  /** A stretch is whole: what was sent after the mute follows it. */
  stretchEnded(): void {
    if (!this.#host.closing()) this.#flush();
  }

  /** The call is over: nothing is sent any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      for (const event of waiting) this.#sendNow(event);
    } catch (error) {
      this.#host.failed(error);
    }
  }

  #sendNow(event: Event): void {
    if (!AUDIO_BOUND_EVENTS.has(event.type)) this.#host.send(event);
    else {
      const ordered = { type: 'parley.ordered', microphoneSamples: this.#host.order(), event };
      this.#host.send(ordered);
    }
  }
}
