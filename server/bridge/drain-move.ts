/** Where the owner does not say how long calls may go on, in ms. */
const DEFAULT_DRAIN_MS = 10_000;
/** Share of the time in which a pause is waited for. */
const PAUSE_SHARE = 0.5;
/** Share of it in which an answer may still be delivered. */
const LAST_SHARE = 0.8;
/** How often a pause is looked for, in ms. */
const PAUSE_POLL_MS = 100;

/** What the move of a call needs of it. */
export interface DrainMoveHost {
  /** No one speaks, no response is under way, and the page has all of the answers. */
  quiet(now: number): boolean;
  /** The page still lacks audio of an answer that is complete: nothing would make it again. */
  delivering(): boolean;
  over(): boolean;
  /** Asks the page, behind a fresh checkpoint. */
  move(): void;
  /** Absent: the call is the only one. */
  readonly pace?: MovePace | undefined;
}

/**
 * The calls of one backend leave one after the other: each costs the backend that takes it a handshake and an upstream, and a backend
 * that is asked by hundreds at once keeps them all waiting, and its own calls with them.
 */
export class MovePace {
  readonly #calls: () => number;
  readonly #drainMs: number;
  #stepMs = 0;
  #lastAt: number | undefined;
  /** Calls that may move now. */
  #places = 1;

  /** `calls` says how many calls the backend has, when the first of them is to move. */
  constructor(calls: () => number, drainMs: number) {
    this.#calls = calls;
    this.#drainMs = drainMs;
  }

  /** Whether a call may move now, in ms. Even if none finds a pause, all find a place before the last share of the time. */
  take(now: number): boolean {
    if (this.#drainMs <= 0) return true;
    if (this.#lastAt === undefined) {
      const forAllMs = (LAST_SHARE - PAUSE_SHARE) * this.#drainMs;
      this.#stepMs = Math.min(PAUSE_POLL_MS, forAllMs / Math.max(1, this.#calls()));
    } else {
      // Calls ask once in a poll's time: what that long a time has room for is kept for them, and no more.
      const places = this.#places + (now - this.#lastAt) / this.#stepMs;
      this.#places = Math.min(places, Math.max(1, PAUSE_POLL_MS / this.#stepMs));
    }
    this.#lastAt = now;
    if (this.#places < 1) return false;
    this.#places -= 1;
    return true;
  }
}

/**
 * The backend will end, in `drainMs`: in the next pause the page is asked to take the call elsewhere, so that neither a sentence nor an
 * answer is broken; in the second half of the time it is asked at any moment. Returns the way to stop.
 */
export function moveWhenDraining(
  draining: AbortSignal | undefined,
  host: DrainMoveHost,
  drainMs = DEFAULT_DRAIN_MS,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = (beganAt: number) => {
    const now = performance.now();
    if (host.over()) return;
    const share = (now - beganAt) / drainMs;
    const late = share >= (host.delivering() ? LAST_SHARE : PAUSE_SHARE);
    if ((late || host.quiet(now)) && host.pace?.take(now) !== false) host.move();
    else timer = setTimeout(() => look(beganAt), PAUSE_POLL_MS);
  };
  const begin = () => look(performance.now());
  if (draining?.aborted) begin();
  else draining?.addEventListener('abort', begin, { once: true });
  return () => {
    clearTimeout(timer);
    draining?.removeEventListener('abort', begin);
  };
}
