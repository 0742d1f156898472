import { createHmac } from 'node:crypto';
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
  | { readonly ok: false; readonly why: HookRefusal; readonly sentence: string };
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

/** What became of a request for a call. */
export type Entry =
  | { readonly ok: true; readonly caller: Caller; readonly admission: Admission }
  | {
      readonly ok: false;
      readonly why: AccessRefusal;
      /** For the person at the page. */
      readonly sentence: string;
      /** The token's subject, where the token was good. */
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

/** Lets calls in: by their token, and by what is left of its subject's limits. */
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

  /** Never rejects. The admission is the caller's to release. */
  async admit(request: TokenCarrier, ask?: AskHook): Promise<Entry> {
    const verdict = await this.#tokens?.verify(tokenOf(request));
    if (verdict?.ok === false)
      return this.#refuse(verdict.why, TOKEN_REFUSAL_SENTENCES[verdict.why], undefined);
    const asked = await ask?.(verdict?.caller);
    if (asked?.ok === false) return this.#refuse(asked.why, asked.sentence, verdict?.caller.subject);
    const caller = asked?.caller ?? verdict?.caller ?? ANYONE;
    // The session that carried the call may not be known to be gone yet: one that takes it over counts beside it for a while.
    const beside = request.query.has('resume') && caller.maxCalls !== undefined ? 1 : 0;
    const admission = this.#limits.admit(
      beside === 0 ? caller : { ...caller, maxCalls: (caller.maxCalls ?? 0) + beside },
    );
    if (typeof admission === 'string')
      return this.#refuse(admission, LIMIT_SENTENCES[admission], caller.subject);
    return { ok: true, caller, admission };
  }

  #refuse(why: AccessRefusal, sentence: string, subject: string | undefined): Entry {
    this.#refused(why);
    return { ok: false, why, sentence, subject };
  }
}
