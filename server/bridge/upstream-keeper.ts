import type { Message } from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd } from '../realtime/index.ts';
import { UpstreamLink } from './upstream-link.ts';

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5000;
/** An upstream that was open this long worked: the next failure is counted as the first. */
const WORKED_MS = 5000;
/** The API ends a session after this long, where the session itself names no time. */
const UPSTREAM_LIFE_MS = 60 * 60_000;
/** How long before that the call begins to look for a pause in which to change over. */
const CHANGE_BEFORE_MS = 60_000;
const PAUSE_POLL_MS = 250;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** What the keeper needs of its call. */
export interface UpstreamKeeperHost {
  dial(): Upstream;
  event(event: Message): void;
  /** It cannot be mended, or not in time. */
  lost(end: UpstreamEnd): void;
  overflowed(): void;
  /** What was sent may have had no effect: the link is empty, and is to be given the conversation again. */
  begunAnew(why: string): void;
  /** Whether the conversation pauses; `now` in ms. */
  quiet(now: number): boolean;
  /** The upstream ended, and another is being dialled. */
  redialling(end: UpstreamEnd, delayMs: number): void;
  /** The upstream will end soon: a pause is looked for. */
  endsSoon(inMs: number): void;
}

/** Keeps a call in touch with an upstream: dials again when one ends that may come back, and changes over before its time is up. */
export class UpstreamKeeper {
  readonly link: UpstreamLink;
  readonly #host: UpstreamKeeperHost;
  readonly #redialMs: number;
  #openedAt: number | undefined;
  /** There is a conversation to keep. */
  #hasConversation = false;
  #failingSince: number | undefined;
  #attempt = 0;
  #redial: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #listening = false;
  #closed = false;

  /** `redialMs`: how long it is tried to reach an upstream again before the call ends. */
  constructor(maxQueueOctets: number, redialMs: number, host: UpstreamKeeperHost) {
    this.#host = host;
    this.#redialMs = redialMs;
    this.link = new UpstreamLink(
      {
        event: (event) => host.event(event),
        opened: () => this.#opened(),
        ended: (end) => this.#ended(end),
        overflowed: () => host.overflowed(),
      },
      maxQueueOctets,
    );
  }

  /** A conversation goes on that another upstream had: it is worth more than one dial. */
  goesOn(): void {
    this.#hasConversation = true;
  }

  /** Takes an upstream that is being dialled, or dials one. */
  start(upstream: Upstream | undefined): void {
    this.link.attach(upstream ?? this.#host.dial());
    if (this.#listening) this.link.listen();
  }

  /** From now on events come. */
  listen(): void {
    this.#listening = true;
    this.link.listen();
  }

  /** `session.created`: when the upstream says it ends, in seconds since 1970. */
  session(event: Message): void {
    const { session } = event as { session?: { expires_at?: unknown } | null };
    const at = session?.expires_at;
    if (typeof at === 'number' && at > 0) this.#expireIn(at * 1000 - Date.now());
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#redial);
    clearTimeout(this.#expiry);
    this.link.close();
  }

  #opened(): void {
    this.#openedAt = performance.now();
    this.#hasConversation = true;
    this.#expireIn(UPSTREAM_LIFE_MS);
  }

  #expireIn(ms: number): void {
    clearTimeout(this.#expiry);
    const delay = Math.min(Math.max(0, ms - CHANGE_BEFORE_MS), MAX_TIMEOUT_MS);
    this.#expiry = setTimeout(() => {
      this.#host.endsSoon(Math.min(ms, CHANGE_BEFORE_MS));
      this.#changeInPause();
    }, delay).unref();
  }

  #changeInPause(): void {
    clearTimeout(this.#expiry);
    if (this.#closed || this.#openedAt === undefined) return;
    if (this.#host.quiet(performance.now())) {
      this.#beginAnew('the upstream is near its time limit');
      this.start(undefined);
      return;
    }
    this.#expiry = setTimeout(() => this.#changeInPause(), PAUSE_POLL_MS).unref();
  }

  #beginAnew(why: string): void {
    clearTimeout(this.#expiry);
    this.#openedAt = undefined;
    this.link.reset();
    this.#host.begunAnew(why);
  }

  #ended(end: UpstreamEnd): void {
    const now = performance.now();
    const openedAt = this.#openedAt;
    if (openedAt !== undefined && now - openedAt >= WORKED_MS) {
      this.#failingSince = undefined;
      this.#attempt = 0;
    }
    this.#failingSince ??= now;
    const late = now - this.#failingSince >= this.#redialMs;
    // A call that never had an upstream is told at once: there is no conversation to keep.
    if (end.code === 'upstream_refused' || !this.#hasConversation || late || this.#redialMs === 0) {
      this.#host.lost(end);
      return;
    }
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt) * (0.8 + 0.4 * Math.random());
    this.#attempt += 1;
    this.#host.redialling(end, Math.round(delayMs));
    // One that never opened was sent nothing: what waits in the link is still right.
    if (openedAt !== undefined) this.#beginAnew(end.message);
    if (this.#closed) return;
    this.#redial = setTimeout(() => this.start(undefined), delayMs);
  }
}
