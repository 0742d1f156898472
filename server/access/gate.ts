import { createHmac } from 'node:crypto';
import { SessionCloseCode } from '../../proto/voice/index.ts';
import type { Tokens } from './live-tokens.ts';
import { type Admission, type LimitReached, SubjectLimits } from './subject-limits.ts';
import { ANYONE, type Caller, TOKEN_REFUSAL_SENTENCES, type TokenRefusal } from './tokens.ts';

/** Why a call may not begin; each is counted by this name. */
export type AccessRefusal = TokenRefusal | LimitReached | HookRefusal;
/** The app's own code did not want the caller, or failed. */
export type HookRefusal = 'refused-by-hook' | 'hook-failed';

/** What the app's own code says of a caller. */
export type HookVerdict =
  | { readonly ok: true; readonly caller: Caller }
  | {
      readonly ok: false;
      readonly why: HookRefusal;
      readonly closeCode: SessionCloseCode;
      readonly sentence: string;
    };
/** Asks the app's own code; the token's caller is given to it, if there are tokens. Never rejects. */
export type AskHook = (tokenCaller: Caller | undefined) => Promise<HookVerdict>;

const LIMIT_SENTENCES: Readonly<Record<LimitReached, string>> = {
  'too-many-calls': 'You have as many calls as you may have at once; end one of them first.',
  'minutes-used-up': 'Your minutes for today are used up; the new day begins at 00:00 UTC.',
};

/** What a request brings that may hold a token. */
export interface TokenCarrier {
  readonly query: URLSearchParams;
  /** Names are in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Why a call may not begin. */
export interface CallRefusal {
  readonly why: LimitReached;
  /** For the person at the page. */
  readonly sentence: string;
}

/**
 * Lets calls of one caller begin. What counts is a call, from its hello until it is over, whether a session carries it or it waits
 * for one: not a session, of which a page may open several for one call.
 */
export interface CallEntry {
  /** Whether a call would be let in now. */
  readonly open: boolean;
  /** Takes a call, which is to be released when it is over. `replacesOne`: a call of the caller ends when it begins. */
  enter(replacesOne: boolean): Admission | CallRefusal;
}

/** What became of a session's token. */
export type Entry =
  | { readonly ok: true; readonly caller: Caller; readonly calls: CallEntry }
  | {
      readonly ok: false;
      readonly why: TokenRefusal | HookRefusal;
      /** Says whether calling again may help. */
      readonly closeCode: SessionCloseCode;
      /** For the person at the page. */
      readonly sentence: string;
      /** Of the caller whom the app's own code refused. */
      readonly subject: string | undefined;
    };

/** The token of a request: `?token=` of its URL, as browsers give a page no headers there, or else `Authorization: Bearer`. */
export function tokenOf({ query, headers }: TokenCarrier): string | undefined {
  const inQuery = query.get('token');
  if (inQuery !== null) return inQuery;
  const authorization = headers.find(([name]) => name === 'authorization')?.[1];
  return /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}

/**
 * The name of a subject in logs: it is often a mail address, and logs travel. The same at every backend of a cluster, and not to be
 * guessed without the cluster's key.
 */
export function subjectName(subject: string, key: Uint8Array): string {
  return createHmac('sha256', key).update('parley subject\0').update(subject).digest('hex').slice(0, 16);
}

/** Lets sessions in by their token, and then calls by what is left of its subject's limits. */
export class AccessGate {
  readonly #tokens: Tokens | undefined;
  readonly #refused: (why: AccessRefusal) => void;
  readonly #limits: SubjectLimits;

  /** @param refused is told of every refusal, to count it. Without tokens the app's own code has to know callers. */
  constructor(
    tokens: Tokens | undefined,
    refused: (why: AccessRefusal) => void,
    limits = new SubjectLimits(),
  ) {
    this.#tokens = tokens;
    this.#refused = refused;
    this.#limits = limits;
  }

  /** Never rejects. */
  async admit(request: TokenCarrier, ask?: AskHook): Promise<Entry> {
    const verdict = await this.#tokens?.verify(tokenOf(request));
    if (verdict?.ok === false) {
      const { why } = verdict;
      // The token may be good: the keys' server may be back when the page dials again.
      const heals = why === 'keys-unreachable';
      const closeCode = heals ? SessionCloseCode.INTERNAL : SessionCloseCode.UNAUTHORIZED;
      return this.#refuse({ why, closeCode, sentence: TOKEN_REFUSAL_SENTENCES[why], subject: undefined });
    }
    const asked = await ask?.(verdict?.caller);
    if (asked?.ok === false) return this.#refuse({ ...asked, subject: verdict?.caller.subject });
    const caller = asked?.caller ?? verdict?.caller ?? ANYONE;
    return { ok: true, caller, calls: this.#callsOf(caller) };
  }

  #refuse(refusal: Omit<Extract<Entry, { ok: false }>, 'ok'>): Entry {
    this.#refused(refusal.why);
    return { ...refusal, ok: false };
  }

  #callsOf(caller: Caller): CallEntry {
    const limits = this.#limits;
    return {
      get open() {
        return limits.reached(caller) === undefined;
      },
      enter: (replacesOne) => {
        const admission = limits.admit(caller, replacesOne ? 1 : 0);
        if (typeof admission !== 'string') return admission;
        this.#refused(admission);
        return { why: admission, sentence: LIMIT_SENTENCES[admission] };
      },
    };
  }
}
