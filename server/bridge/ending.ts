import {
  type ErrorCode,
  type ErrorMessage,
  errorMessage,
  SessionCloseCode,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import type { Control } from './control.ts';
import { clipReason } from './reasons.ts';

/** How long the last message may take to leave before the session is closed. */
const FLUSH_BEFORE_CLOSE_MS = 300;

/** How a session ended: the close code, a sentence, and the code of `parley.error` when it was a failure. */
export interface SessionEnd {
  readonly closeCode: SessionCloseCode | number;
  readonly reason: string;
  readonly error: ErrorCode | undefined;
}

/** What the ending needs of its session. */
export interface EndingHost {
  /** Stops what produces and reads, at once. */
  stop(end: SessionEnd): void;
  control(): Control | undefined;
  close(closeCode: number, reason: string): void;
  /** Everything is let go. */
  ended(end: SessionEnd): void;
  /** A stream that the call needs broke off. */
  streamLost(): void;
  /** A failure that is no page's fault. */
  fault(error: unknown): void;
}

/** How a session comes to its end: once, for the first reason there is, whatever fails on the way. */
export class Ending {
  readonly #host: EndingHost;
  #tasks = 0;
  #tasksOver: (() => void) | undefined;
  readonly #cleanups: (() => void)[] = [];
  readonly #finished: Promise<void>;
  #resolveFinished!: () => void;
  #begun = false;
  #pageGone = false;

  constructor(host: EndingHost) {
    this.#host = host;
    this.#finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
  }

  /** Whether the end has begun. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Fulfils when all is over and every task has returned. */
  async finished(): Promise<void> {
    await this.#finished;
    while (this.#tasks > 0) {
      await new Promise<void>((resolve) => {
        this.#tasksOver = resolve;
      });
    }
  }

  /** The page is gone: what fails from now on is its going, not a fault. */
  pageGone(): void {
    this.#pageGone = true;
  }

  /** Has something undone at the end. */
  cleanUp(action: () => void): void {
    this.#cleanups.push(action);
  }

  /** Runs what must not throw into the machinery that calls it. */
  guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Watches a task: the session ends with its failure, and not before it has returned. */
  spawn(task: Promise<void>): void {
    this.#tasks++;
    task.then(this.#returned, this.#judge);
  }

  /** One for all tasks, as is the next: a call has several that last as long as it does. */
  readonly #returned = (): void => {
    if (--this.#tasks === 0) this.#tasksOver?.();
  };

  /** Ends the session, once. `tell` is false when the page need not be told. */
  begin(closeCode: number, reason: string, error?: ErrorCode, tell = true): void {
    // Set before anything is done: what the end itself does, such as a last message to a full queue, may ask for the end again.
    if (this.#begun) return;
    this.#begun = true;
    this.#end({ closeCode, reason, error }, tell && !this.#pageGone)
      .catch((fault: unknown) => this.#host.fault(fault))
      .finally(this.#resolveFinished);
  }

  /** A stream that fails because the session ended is no fault: the end is given one turn to be known. */
  readonly #judge = (error: unknown): void => {
    setImmediate(() => {
      this.#failed(error);
      this.#returned();
    });
  };

  #failed(error: unknown): void {
    if (this.begun || this.#pageGone) return;
    if (error instanceof VoiceProtocolError) {
      const full = error.closeCode === SessionCloseCode.QUEUE_FULL;
      this.begin(error.closeCode, error.message, full ? 'queue_full' : 'malformed');
    } else if (error instanceof Error && error.name === 'StreamError') {
      this.#host.streamLost();
    } else {
      this.#host.fault(error);
      this.begin(SessionCloseCode.INTERNAL, 'The backend failed; calling again may help.', 'internal');
    }
  }

  async #end(end: SessionEnd, tell: boolean): Promise<void> {
    this.#host.stop(end);
    const { closeCode, reason, error } = end;
    const last = error === undefined ? undefined : { ...errorMessage(error, reason), last: true as const };
    if (tell) await this.#flushBeforeClose(last);
    this.#host.control()?.stop();
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
    if (tell) this.#host.close(closeCode, clipReason(reason));
    this.#host.ended(end);
  }

  /** Lets the last messages leave, within reason. */
  async #flushBeforeClose(message: ErrorMessage | undefined): Promise<void> {
    const control = this.#host.control();
    if (control === undefined) return;
    control.stopReading();
    if (message !== undefined) control.send(message);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FLUSH_BEFORE_CLOSE_MS);
    });
    await Promise.race([control.finish(), timeout]);
    clearTimeout(timer);
  }
}
