import type { Logger } from 'pino';
import { SessionCloseCode } from '../../proto/voice/index.ts';
import { LazySet } from '../../proto/wire/index.ts';
import type { HookName } from './hooks.ts';

/** What became of a hook that did not do what it should; each is counted by this name. */
export type HookFault =
  /** It threw, or its promise was rejected. */
  | 'threw'
  /** It gave no answer in time. */
  | 'late'
  /** Its answer is none of those that it may give. */
  | 'nonsense';

/** What a hook gave, or what became of it. */
export type HookResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: HookFault };

/** How a session ends because of a hook. */
export interface HookFailure {
  readonly closeCode: SessionCloseCode;
  /** For the person at the page. */
  readonly sentence: string;
}

/** What threw or hangs may heal, so that pages dial again; a wrong answer comes again, and ends the call at once. */
export function hookFailure(fault: HookFault, what: string, whose: string): HookFailure {
  const start = `The call ${what}: the backend's own code for ${whose}`;
  return fault === 'nonsense'
    ? {
        closeCode: SessionCloseCode.WRONG_HOOK_ANSWER,
        sentence: `${start} gave a wrong answer. The backend's log says which.`,
      }
    : { closeCode: SessionCloseCode.INTERNAL, sentence: `${start} failed. Calling again may help.` };
}

/** Hears of each fault. */
export type HookObserver = (hook: HookName, fault: HookFault) => void;

/** Runs hooks so that none can do harm to what calls it: every fault is counted, and the first of each kind in a call is logged. */
export class HookGuard {
  readonly #logger: Logger;
  readonly #observer: HookObserver | undefined;
  readonly #told = new LazySet<string>();

  constructor(logger: Logger, observer: HookObserver | undefined) {
    this.#logger = logger;
    this.#observer = observer;
  }

  /** Runs a hook that answers at once. */
  now<T>(hook: HookName, run: () => T): HookResult<T> {
    try {
      return { ok: true, value: run() };
    } catch (error) {
      return this.fault(hook, 'threw', error);
    }
  }

  /** Runs a hook whose answer is of no interest; a promise that it gives may be rejected. */
  tell(hook: HookName, run: () => unknown): void {
    const result = this.now(hook, run);
    if (!result.ok || !isPromise(result.value)) return;
    result.value.then(undefined, (error: unknown) => void this.fault(hook, 'threw', error));
  }

  /** Waits for a hook, at most `timeoutMs`; it is given a signal that aborts then. Never rejects. */
  async wait<T>(
    hook: HookName,
    timeoutMs: number,
    run: (signal: AbortSignal) => T | PromiseLike<T>,
  ): Promise<HookResult<T>> {
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, timeoutMs, 'late');
    });
    try {
      const work = Promise.resolve(run(abort.signal)).then((value) => ({ value }));
      // It may be rejected after it was too late.
      work.catch(() => {});
      const first = await Promise.race([work, late]);
      if (first !== 'late') return { ok: true, value: first.value };
      abort.abort();
      return this.fault(hook, 'late', undefined, `it gave no answer within ${timeoutMs / 1000} s`);
    } catch (error) {
      return this.fault(hook, 'threw', error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Counts a fault, and tells it the first time. */
  fault(
    hook: HookName,
    fault: HookFault,
    error: unknown,
    why = 'it threw',
  ): { readonly ok: false; readonly fault: HookFault } {
    this.#observer?.(hook, fault);
    const key = `${hook} ${fault}`;
    if (!this.#told.has(key)) {
      this.#told.add(key);
      this.#logger.error(
        { hook, fault, ...(error !== undefined && { err: error }) },
        `The hook ${hook} failed: ${why}.`,
      );
    }
    return { ok: false, fault };
  }
}

/** Whether a value is a promise or something like one. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
