import type { Logger } from 'pino';
import { SessionCloseCode } from '../proto/voice/index.ts';
import { ANYONE, type AskHook, type Caller, type HookVerdict, tokenOf } from './access/index.ts';
import {
  type CallControl,
  type CallHooks,
  DEFAULT_VOICE_LIMITS,
  definitionOf,
  type HookFailure,
  type HookFault,
  HookGuard,
  type HookResult,
  hookFailure,
  type ServerTool,
  type VoiceObserver,
} from './bridge/index.ts';
import type { AppCall, AppCaller, BackendHooks, CallRequest, RealtimeTarget } from './hooks.ts';
import {
  DeferredUpstream,
  type OddEvent,
  openUpstream,
  SocketUpstream,
  type Upstream,
  type UpstreamEnd,
  type WebSocketLike,
} from './realtime/index.ts';
import type { SessionRequest } from './webtransport/index.ts';

/** Longest sentence of a refusal, in characters; a close reason has 1024 octets. */
const MAX_SENTENCE = 300;

type OnOddEvent = (odd: OddEvent) => void;

/** The app's own logic for one session's caller, or the sentence with which it is refused. */
export type OwnHooks =
  | {
      readonly hooks: CallHooks;
      readonly openUpstream: ((onOddEvent: OnOddEvent) => Upstream) | undefined;
    }
  | { readonly refuse: HookFailure };

/** The app's hooks, as a backend uses them: for each caller, and guarded. */
export class AppHooks {
  readonly #hooks: BackendHooks;
  readonly #log: Logger;
  readonly #observer: VoiceObserver;
  /** How long a hook may take to answer, in ms. */
  readonly timeoutMs: number;

  /** @param hooks that `checkHooks` took. */
  constructor(hooks: BackendHooks, log: Logger, observer: VoiceObserver) {
    this.#hooks = hooks;
    this.#log = log;
    this.#observer = observer;
    this.timeoutMs = hooks.timeoutMs ?? DEFAULT_VOICE_LIMITS.hookTimeoutMs;
  }

  /** How the app is asked whether this page may call; undefined when it has no say. */
  authenticate(request: SessionRequest): AskHook | undefined {
    const { authenticate } = this.#hooks;
    if (authenticate === undefined) return undefined;
    return async (tokenCaller) => {
      const guard = this.#guard(this.#log);
      const asked = requestOf(request, tokenCaller);
      const result = await guard.wait('authenticate', this.timeoutMs, () => authenticate(asked));
      if (!result.ok) return failed(result.fault);
      const answer: unknown = result.value;
      const verdict = verdictOf(answer);
      if (verdict !== undefined) return verdict;
      const why = 'it gave neither { subject } nor { refuse: sentence }';
      return failed(guard.fault('authenticate', 'nonsense', undefined, why).fault);
    };
  }

  /** The hooks of a call of this caller. */
  of({
    caller = ANYONE,
    logger,
  }: {
    readonly caller?: Caller | undefined;
    readonly logger: Logger;
  }): OwnHooks {
    const { session, onCall, onEvent, onTranscript, onAudio, onEnd, openUpstream } = this.#hooks;
    const guard = this.#guard(logger);
    const tools = this.#toolsOf(caller as AppCaller, guard);
    if (!tools.ok) return { refuse: hookFailure(tools.fault, 'cannot begin', 'tools') };
    const hooks: CallHooks = {
      tools: tools.value,
      ...(session && { session: async () => session(caller as AppCaller) }),
      ...(onCall && { onCall: (control) => onCall(control as CallControl & AppCall) }),
      ...(onEvent && { onEvent: (event, from, call) => onEvent(event, from, call as AppCall) }),
      ...(onTranscript && { onTranscript: (transcript, call) => onTranscript(transcript, call as AppCall) }),
      ...(onAudio && { onAudio: (audio, call) => onAudio(audio, call as AppCall) }),
      ...(onEnd && { onEnd: (end, call) => onEnd(end, call as AppCall) }),
    };
    if (openUpstream === undefined) return { hooks, openUpstream: undefined };
    const ask = () => openUpstream(caller as AppCaller);
    return {
      hooks,
      openUpstream: (onOdd) => new DeferredUpstream('custom', open(ask, guard, this.timeoutMs, onOdd)),
    };
  }

  #guard(logger: Logger): HookGuard {
    return new HookGuard(logger, (hook, fault) => this.#observer.hookFailed?.(hook, fault));
  }

  #toolsOf(caller: AppCaller, guard: HookGuard): HookResult<readonly ServerTool[]> {
    const { tools } = this.#hooks;
    if (typeof tools !== 'function') return { ok: true, value: tools ?? [] };
    const result = guard.now('tools', () => tools(caller));
    const problem = result.ok ? toolProblem(result.value) : undefined;
    if (problem === undefined) return result;
    return guard.fault('tools', 'nonsense', undefined, problem.replace(/\.$/, ''));
  }
}

function failed(fault: HookFault): HookVerdict {
  return { ok: false, why: 'hook-failed', ...hookFailure(fault, 'was not let in', 'callers') };
}

/** What is wrong with a list of tools, as a sentence. */
export function toolProblem(tools: unknown): string | undefined {
  if (!Array.isArray(tools)) return 'tools must be a list.';
  const names = new Set<string>();
  for (const tool of tools as ServerTool[]) {
    try {
      definitionOf(tool);
    } catch (error) {
      return error instanceof TypeError ? error.message : String(error);
    }
    if (names.has(tool.name)) return `Two tools are called ${tool.name}.`;
    names.add(tool.name);
  }
  return undefined;
}

function requestOf(request: SessionRequest, tokenCaller: Caller | undefined): CallRequest {
  const { headers, path, query, origin, remoteAddress } = request;
  const search = query.toString();
  return {
    headers: Object.fromEntries(headers),
    url: search === '' ? path : `${path}?${search}`,
    query,
    origin,
    address: remoteAddress.host,
    token: tokenOf(request),
    tokenCaller,
    resumes: query.has('resume'),
  };
}

/** Undefined when it is none of the answers that the hook may give. */
function verdictOf(answer: unknown): HookVerdict | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { subject, data, maxCalls, minutesPerDay, refuse } = answer as Record<string, unknown>;
  if (typeof refuse === 'string')
    return {
      ok: false,
      why: 'refused-by-hook',
      closeCode: SessionCloseCode.UNAUTHORIZED,
      sentence: refuse.slice(0, MAX_SENTENCE),
    };
  if (typeof subject !== 'string' || !isLimit(maxCalls) || !isLimit(minutesPerDay)) return undefined;
  return { ok: true, caller: { subject, data, maxCalls, minutesPerDay } };
}

function isLimit(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === 'number' && value >= 0);
}

/** What the app opened; never rejects. */
async function open(
  ask: () => RealtimeTarget | WebSocketLike | PromiseLike<RealtimeTarget | WebSocketLike>,
  guard: HookGuard,
  timeoutMs: number,
  onOddEvent: OnOddEvent,
): Promise<Upstream | UpstreamEnd> {
  const result = await guard.wait('openUpstream', timeoutMs, ask);
  const unopened: UpstreamEnd = {
    code: 'upstream_unreachable',
    message: "The backend's own code for upstreams failed.",
    closeCode: undefined,
  };
  if (!result.ok) return unopened;
  const target = result.value as Partial<RealtimeTarget & WebSocketLike> | null | undefined;
  if (typeof target?.addEventListener === 'function' && typeof target.send === 'function')
    return new SocketUpstream(target as WebSocketLike, oddEvents(onOddEvent));
  if (typeof target?.baseUrl === 'string' && typeof target.apiKey === 'string') {
    const { baseUrl: baseURL, apiKey, model = '', headers, ca } = target;
    return openUpstream({ kind: 'custom', model, apiKey, baseURL, headers, ca, onOddEvent });
  }
  guard.fault(
    'openUpstream',
    'nonsense',
    undefined,
    'it gave neither a WebSocket nor { baseUrl, apiKey, model }',
  );
  return unopened;
}

/** Says of each event that was left out whether it is the first of its kind. */
function oddEvents(onOddEvent: OnOddEvent): ConstructorParameters<typeof SocketUpstream>[1] {
  const kinds = new Set<string>();
  return (kind, type, octets) => {
    onOddEvent({ kind, type, octets, first: !kinds.has(kind) });
    kinds.add(kind);
  };
}
