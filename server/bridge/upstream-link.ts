import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { appendText, sendAudio, type Upstream, type UpstreamEnd } from '../realtime/index.ts';

/** A WebSocket says how much it holds, but not when that falls; this is looked at only while something waits. */
const POLL_MS = 10;
/** What an event that waits costs beside its JSON: a string's own fields, and its place in the queue. */
const ENTRY_OVERHEAD_OCTETS = 64;
/**
 * Octets that the upstream's socket may hold. What is more waits here as text: in the socket each event is a frame of its own
 * with its callbacks, which for a short one costs 24 times its octets.
 */
const MAX_SOCKET_OCTETS = 128 << 10;

/** Hears of the upstream, until `close`. */
export interface LinkListener {
  event(event: Message): void;
  opened?(): void;
  ended(end: UpstreamEnd): void;
  /** More waits than may wait; the event that was one too many is lost. */
  overflowed(): void;
}

/**
 * The call's way to its upstream: client events wait here as JSON, in order, until the upstream is open and takes them.
 * After one upstream another may be attached: what waits is kept, unless `reset` was called.
 */
export class UpstreamLink {
  readonly #listener: LinkListener;
  readonly #maxOctets: number;
  #upstream: Upstream | undefined;
  #queue: string[] = [];
  #queueTaken = 0;
  #queuedOctets = 0;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;
  #waiters: { readonly octets: number; readonly resolve: () => void }[] = [];

  constructor(listener: LinkListener, maxOctets: number) {
    this.#listener = listener;
    this.#maxOctets = maxOctets;
  }

  /** Octets of client events that have not left this machine's hands, with what keeping them costs. */
  get bufferedOctets(): number {
    return this.#queuedOctets + (this.#upstream?.bufferedAmount ?? 0);
  }

  /** Takes an upstream over; its events come only after `listen`. */
  attach(upstream: Upstream): void {
    this.#upstream = upstream;
    upstream.onClose((end) => {
      if (this.#closed || this.#upstream !== upstream) return;
      this.#upstream = undefined;
      upstream.close();
      this.#listener.ended(end);
    });
    upstream.onOpen(() => {
      if (this.#closed || this.#upstream !== upstream) return;
      this.#listener.opened?.();
      this.#flush();
    });
  }

  /** Lets the upstream go, and everything that waits for it. */
  reset(): void {
    this.#upstream?.close();
    this.#upstream = undefined;
    this.#queue = [];
    this.#queueTaken = 0;
    this.#queuedOctets = 0;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** From now on events come, those that waited first. */
  listen(): void {
    const upstream = this.#upstream;
    upstream?.onEvent((event) => {
      if (!this.#closed && this.#upstream === upstream) this.#listener.event(event);
    });
  }

  /** Sends an event of the backend's own. */
  send(event: RealtimeClientEvent): void {
    this.sendText(JSON.stringify(event));
  }

  /** Sends microphone audio: whole samples. */
  append(pcm: Uint8Array): void {
    const upstream = this.#upstream;
    const atOnce = !this.#closed && this.#queue.length === 0 && this.#takesMore();
    if (upstream !== undefined && atOnce && this.bufferedOctets <= this.#maxOctets) sendAudio(upstream, pcm);
    else this.sendText(appendText(pcm));
  }

  /** Sends an event that is JSON already, or queues it while the upstream does not take it. */
  sendText(json: string): void {
    if (this.#closed) return;
    if (this.bufferedOctets > this.#maxOctets) {
      this.#listener.overflowed();
      return;
    }
    if (this.#takesMore() && this.#queue.length === 0) {
      this.#upstream?.sendText(json);
      return;
    }
    this.#queue.push(json);
    this.#queuedOctets += json.length + ENTRY_OVERHEAD_OCTETS;
    this.#watch();
  }

  /** Waits until no more than `octets` are buffered, or the link is closed; `undefined` when that is so already. */
  below(octets: number): Promise<void> | undefined {
    if (this.#closed || this.bufferedOctets <= octets) return undefined;
    return new Promise((resolve) => {
      this.#waiters.push({ octets, resolve });
      this.#watch();
    });
  }

  /** Waits until the upstream was given everything, or the link is closed, at most `timeoutMs`. */
  async flushed(timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (this.#queue.length > 0 && !this.#closed && performance.now() < end) await sleep(POLL_MS);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#queuedOctets = 0;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
    this.#upstream?.close();
  }

  #takesMore(): boolean {
    const upstream = this.#upstream;
    return upstream?.isOpen === true && upstream.bufferedAmount <= MAX_SOCKET_OCTETS;
  }

  #watch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    // Before the upstream is open, nothing but its opening can move the queue.
    if (this.#waiters.length === 0 && this.#upstream?.isOpen !== true) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, POLL_MS);
  }

  #flush(): void {
    for (let json = this.#queue[this.#queueTaken]; json !== undefined; json = this.#queue[this.#queueTaken]) {
      if (!this.#takesMore()) break;
      this.#queueTaken += 1;
      this.#queuedOctets -= json.length + ENTRY_OVERHEAD_OCTETS;
      this.#upstream?.sendText(json);
    }
    this.#queue.splice(0, this.#queueTaken);
    this.#queueTaken = 0;
    const buffered = this.bufferedOctets;
    const ready = this.#waiters.filter(({ octets }) => buffered <= octets);
    this.#waiters = this.#waiters.filter(({ octets }) => buffered > octets);
    for (const { resolve } of ready) resolve();
    if (this.#queue.length > 0 || this.#waiters.length > 0) this.#watch();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
