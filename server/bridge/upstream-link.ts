import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd } from '../realtime/index.ts';

/** A WebSocket says how much it holds, but not when that falls. */
const POLL_MS = 10;
/** What an event costs beside the audio it carries. */
const APPEND_OVERHEAD_OCTETS = 64;

/** Hears of the upstream, until `close`. */
export interface LinkListener {
  event(event: Message): void;
  ended(end: UpstreamEnd): void;
  /** More waits than may wait; the event that was one too many is lost. */
  overflowed(): void;
}

/**
 * The session's way to its upstream: client events wait here, in order, until the upstream is open. `attach` is called
 * once today; a redial would attach the next upstream and keep what waits.
 */
export class UpstreamLink {
  readonly #listener: LinkListener;
  readonly #maxOctets: number;
  #upstream: Upstream | undefined;
  #queue: { event: RealtimeClientEvent; octets: number }[] = [];
  #queuedOctets = 0;
  #closed = false;
  #paused = false;

  constructor(listener: LinkListener, maxOctets: number) {
    this.#listener = listener;
    this.#maxOctets = maxOctets;
  }

  /** Octets of client events that have not left this machine's hands. */
  get bufferedOctets(): number {
    return this.#queuedOctets + (this.#upstream?.bufferedAmount ?? 0);
  }

  /** Takes an upstream over; its events come only after `listen`. */
  attach(upstream: Upstream): void {
    this.#upstream = upstream;
    upstream.onClose((end) => {
      if (!this.#closed) this.#listener.ended(end);
    });
    upstream.onOpen(() => this.#flush());
  }

  /** From now on events come, those that waited first. */
  listen(): void {
    this.#upstream?.onEvent((event) => {
      if (!this.#closed) this.#listener.event(event);
    });
  }

  /** Sends an event, or queues it while the upstream is not open. */
  send(event: RealtimeClientEvent): void {
    if (this.#closed) return;
    if (this.bufferedOctets > this.#maxOctets) {
      this.#listener.overflowed();
      return;
    }
    if (this.#upstream?.isOpen && this.#queue.length === 0) {
      this.#upstream.send(event);
      return;
    }
    const octets =
      event.type === 'input_audio_buffer.append'
        ? event.audio.length + APPEND_OVERHEAD_OCTETS
        : Buffer.byteLength(JSON.stringify(event));
    this.#queue.push({ event, octets });
    this.#queuedOctets += octets;
  }

  /** Waits until no more than `octets` are buffered, or the link is closed; `undefined` when that is so already. */
  below(octets: number): Promise<void> | undefined {
    return this.#isAbove(octets) ? this.#untilBelow(octets) : undefined;
  }

  #isAbove(octets: number): boolean {
    return !this.#closed && this.bufferedOctets > octets;
  }

  async #untilBelow(octets: number): Promise<void> {
    while (this.#isAbove(octets)) {
      await new Promise<void>((resolve) => {
        setTimeout(resolve, POLL_MS);
      });
    }
  }

  /** Stops or resumes reading from the upstream. */
  pause(paused: boolean): void {
    if (paused === this.#paused || this.#closed) return;
    this.#paused = paused;
    if (paused) this.#upstream?.pause();
    else this.#upstream?.resume();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#queuedOctets = 0;
    this.#upstream?.close();
  }

  #flush(): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedOctets = 0;
    for (const { event } of queue) this.#upstream?.send(event);
  }
}
