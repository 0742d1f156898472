import { type Message, SessionCloseCode, VoiceProtocolError } from '../../proto/voice/index.ts';

/** Events that may wait for audio: far more than a person makes. */
export const MAX_HELD_EVENTS = 64;

interface Held {
  /** Undefined for one that was refused: it is not sent, and counted all the same. */
  readonly event: Message | undefined;
  /** Samples that must have been handed on before it; undefined for an event that only keeps its place in the order. */
  readonly samples: number | undefined;
}

/** What the events need of their session. */
export interface OrderedEventsHost {
  /** Samples handed to the upstream so far. */
  samples(): number;
  send(event: Message): void;
}

/**
 * Keeps the page's events in their place among the audio: the control stream and the microphone's streams overtake each
 * other. An ordered event waits for the samples before it, later events wait behind it, and a stretch that was begun after
 * it waits for it. Nothing is let out of order for want of time: a wait in vain is found by `check`, which ends the call.
 */
export class OrderedEvents {
  readonly #host: OrderedEventsHost;
  #held: Held[] = [];
  #released = 0;
  #stopped = false;
  /** How far everything was when it last moved, and when that was. */
  #progress = '';
  #progressAt = 0;
  #waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(host: OrderedEventsHost) {
    this.#host = host;
  }

  /** Sample that the first held event waits for; undefined when none is held. */
  get awaitedSample(): number | undefined {
    return this.#held[0]?.samples;
  }

  /** Takes an event; one without `samples` goes out at once when nothing is held. Throws when too many are. */
  push(event: Message | undefined, samples?: number): void {
    if (this.#stopped) return;
    if (this.#held.length >= MAX_HELD_EVENTS) {
      throw new VoiceProtocolError(
        SessionCloseCode.QUEUE_FULL,
        `more than ${MAX_HELD_EVENTS} events wait for sample ${this.awaitedSample} of the microphone`,
      );
    }
    this.#held.push({ event, samples });
    this.advance();
  }

  /** Samples were handed on: sends what waited for no more than these. */
  advance(): void {
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      if (first.samples !== undefined && first.samples > this.#host.samples()) return;
      this.#held.shift();
      if (first.event !== undefined) this.#host.send(first.event);
      if (first.samples !== undefined) this.#release();
    }
  }

  /** Fulfils when `count` ordered events were sent, or the session is over. */
  async reached(count: number): Promise<void> {
    if (this.#stopped || this.#released >= count) return;
    await new Promise<void>((resolve) => this.#waiters.push({ count, resolve }));
  }

  /**
   * To be called each second. Throws when something has waited for `timeoutMs` and nothing moved: the page announced audio,
   * or an event, that it never sent. `stalled` says that the microphone waits for the upstream, which is nobody's fault.
   */
  check(now: number, stalled: boolean, timeoutMs: number): void {
    const waiting = this.#held.length > 0 || this.#waiters.length > 0;
    const progress = `${this.#host.samples()} ${this.#released}`;
    if (!waiting || stalled || progress !== this.#progress) {
      this.#progress = progress;
      this.#progressAt = now;
      return;
    }
    if (now - this.#progressAt < timeoutMs) return;
    const what =
      this.awaitedSample === undefined
        ? `a microphone stretch waits for ordered event ${this.#waiters[0]?.count}, but ${this.#released} came`
        : `an ordered event waits for sample ${this.awaitedSample}, but ${this.#host.samples()} came`;
    throw new VoiceProtocolError(SessionCloseCode.MICROPHONE_BROKEN, `${what} in ${timeoutMs} ms`);
  }

  stop(): void {
    this.#stopped = true;
    this.#held = [];
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #release(): void {
    this.#released += 1;
    const ready = this.#waiters.filter(({ count }) => count <= this.#released);
    this.#waiters = this.#waiters.filter(({ count }) => count > this.#released);
    for (const { resolve } of ready) resolve();
  }
}
