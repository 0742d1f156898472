import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import { formatAddress } from '../proto/wire/index.ts';
import { AccessGate, type AccessRefusal, subjectName, type Tokens } from './access/index.ts';
import { AppHooks } from './app-hooks.ts';
import {
  type Call,
  EarlyUpstreams,
  MovePace,
  OctetBudget,
  serveVoice,
  UnfinishedMessages,
  type VoiceContext,
  type VoiceObserver,
} from './bridge/index.ts';
import { CallTable, Sealer } from './call/index.ts';
import type { CallList } from './calls/index.ts';
import type { BackendConfig } from './config.ts';
import type { BackendHooks } from './hooks.ts';
import { type OddEvent, openUpstream, type UpstreamConfig } from './realtime/index.ts';
import type { Tracing } from './tracing/index.ts';
import type { WebTransportSession } from './webtransport/index.ts';

/** Answer audio of all calls that may wait for slow pages together, in octets: 93 minutes of it. */
const MAX_WAITING_ANSWER_OCTETS = 256 << 20;
/** What may be held of all pages' unfinished messages together, in octets: eight of the longest. */
const MAX_UNFINISHED_OCTETS = 64 << 20;

/** The environment variable that the API key is read from: never a file of ours, never a flag that `ps` shows. */
export const API_KEY_VARIABLE = 'OPENAI_API_KEY';

/**
 * The certificate that the local service presents, as its file is now and as it was before: it is renewed while both run,
 * and neither knows when the other has read it.
 */
class LocalCertificate {
  readonly #path: string;
  #pems: readonly string[];

  constructor(path: string) {
    this.#path = path;
    this.#pems = [readFileOrStop(path, 'certificate of the local realtime service')];
  }

  get pems(): readonly string[] {
    try {
      const now = readFileOrStop(this.#path, 'certificate of the local realtime service');
      if (now !== this.#pems[0]) this.#pems = [now, this.#pems[0]!];
    } catch {
      // It is being replaced, or gone: what was there is trusted still.
    }
    return this.#pems;
  }
}

function upstreamConfig(
  config: BackendConfig,
  env: NodeJS.ProcessEnv,
  hooks: BackendHooks,
): () => UpstreamConfig {
  const { upstream } = config;
  // The hook opens every one of them.
  if (hooks.openUpstream !== undefined) return () => ({ kind: 'custom', model: '', apiKey: '' });
  if (upstream.kind === 'custom')
    throw new StartupError('upstream: the kind "custom" needs the hook openUpstream.');
  if (upstream.kind === 'local') {
    const { kind, model, baseUrl: baseURL } = upstream;
    const certificate = new LocalCertificate(upstream.ca);
    return () => ({ kind, model, apiKey: 'local', baseURL, ca: certificate.pems });
  }
  const apiKey = env[API_KEY_VARIABLE]?.trim();
  if (!apiKey) {
    throw new StartupError(
      `upstream: ${API_KEY_VARIABLE} is not set; set it to your OpenAI API key, or use the local realtime service.`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new StartupError(
      `upstream: ${API_KEY_VARIABLE} holds characters that no API key has; copy it again.`,
    );
  }
  const { model, baseUrl: baseURL, azure } = upstream;
  return () => ({ kind: 'openai', model, apiKey, baseURL, azure });
}

/** How callers are known. */
export interface Access {
  /** Absent where the hook `authenticate` alone decides. */
  readonly tokens?: Tokens | undefined;
  /** Octets that the names of subjects in logs are made with, the same at every backend of the cluster. */
  readonly subjectKey: Uint8Array;
  /** Told of every refusal. */
  readonly refused: (why: AccessRefusal) => void;
}

type VoiceHandler = (session: WebTransportSession) => Promise<void>;
/** What a session is served with that depends on its caller. */
export type CallerContext = Pick<VoiceContext, 'sessionId' | 'logger' | 'caller' | 'callEntry'>;

/**
 * Serves those whose token is good. Others are taken and closed at once, as a page learns nothing of the HTTP status of a refused
 * session; no upstream is dialled for them. The subject's limits are asked when a call begins.
 */
function withAccess(
  access: Access,
  log: Logger,
  app: AppHooks,
  serve: (session: WebTransportSession, caller: CallerContext) => Promise<void>,
): VoiceHandler {
  const gate = new AccessGate(access.tokens, access.refused);
  return async (session) => {
    const entry = await gate.admit(session.request, app.authenticate(session.request));
    const sessionId = randomUUID();
    const subject = entry.ok ? entry.caller.subject : entry.subject;
    const logger = log.child(
      subject === undefined ? {} : { subject: subjectName(subject, access.subjectKey) },
    );
    if (!entry.ok) {
      const { remoteAddress, origin } = session.request;
      logger.info(
        { session: sessionId, caller: formatAddress(remoteAddress), origin, reason: entry.why },
        'call refused',
      );
      session.close({ closeCode: entry.closeCode, reason: entry.sentence });
      return;
    }
    const { caller, calls } = entry;
    await serve(session, { sessionId, logger, caller, callEntry: calls });
  };
}

/** What a handler of voice sessions needs of its backend. */
interface VoiceDetails {
  /** Asked for each call: a configuration that is rotated may give another. */
  readonly serverId: string;
  draining: AbortSignal;
  shutdown: AbortSignal;
  log: Logger;
  observer: VoiceObserver;
  /** Where operators see calls. Absent: nowhere. */
  calls?: CallList | undefined;
  /** Absent: no spans are made. */
  tracing?: Tracing | undefined;
  /** Told how long a call waited whose page came back, in seconds. */
  onBack?: ((seconds: number) => void) | undefined;
  /** Host name by which callers come back to this very backend. */
  readonly host?: string | undefined;
  /** Absent: everybody may call. */
  access?: Access | undefined;
  /** The cluster's secret, 32 octets, that tickets and checkpoints are sealed with. */
  sealSecret: Uint8Array;
  /** The app's own logic. */
  hooks?: BackendHooks | undefined;
}

/** What spans say of an upstream, by the semantic conventions of OpenTelemetry for servers and for models. */
function upstreamAttributes({ upstream }: BackendConfig): Record<string, string | number> {
  if (upstream.kind === 'custom') return { 'gen_ai.provider.name': 'custom' };
  const { hostname, port } = new URL(upstream.baseUrl ?? 'https://api.openai.com');
  const azure = upstream.kind === 'openai' && upstream.azure !== undefined;
  const provider = azure ? 'azure.ai.openai' : upstream.kind === 'openai' ? 'openai' : 'parley.local';
  return {
    'gen_ai.provider.name': provider,
    'gen_ai.request.model': upstream.model,
    'server.address': hostname,
    'server.port': port === '' ? 443 : Number(port),
  };
}

/** Makes the handler of voice sessions. Throws `StartupError` when the upstream is not configured as it must be. */
export function makeVoiceHandler(
  config: BackendConfig,
  env: NodeJS.ProcessEnv,
  details: VoiceDetails,
): VoiceHandler {
  const { draining, shutdown, log, observer, access, sealSecret, hooks = {} } = details;
  const upstream = upstreamConfig(config, env, hooks);
  const app = new AppHooks(hooks, log, observer);
  const allowedEvents = config.allowedEvents && new Set(config.allowedEvents);
  const answerBudget = new OctetBudget(MAX_WAITING_ANSWER_OCTETS);
  const unfinished = new UnfinishedMessages(MAX_UNFINISHED_OCTETS);
  const earlyUpstreams = new EarlyUpstreams();
  const calls = new CallTable<Call>({
    resumeSeconds: config.resumeSeconds,
    maxWaiting: config.maxSessions,
    onWaiting: (waiting) => observer.callsWaiting?.(waiting),
    onBack: details.onBack,
  });
  const drainMs = config.drainSeconds * 1000;
  const movePace = new MovePace(() => calls.size, drainMs);
  shutdown.addEventListener('abort', () => calls.close(), { once: true });
  const resume = config.resumeSeconds > 0 ? { calls, sealer: new Sealer(sealSecret) } : undefined;
  const { maxSessionMinutes, redialSeconds } = config;
  const limits = { maxSessionMinutes, redialMs: redialSeconds * 1000, hookTimeoutMs: app.timeoutMs };
  const serve = (session: WebTransportSession, caller: CallerContext) => {
    const onOddEvent = ({ first, ...odd }: OddEvent) => {
      observer.upstreamEventDropped?.(odd.kind);
      // Once per call and kind: a broken upstream sends fifty a second.
      if (first) log.warn({ session: caller.sessionId, ...odd }, 'an event of the upstream was left out');
    };
    const own = app.of(caller);
    if ('refuse' in own) {
      session.close({ closeCode: own.refuse.closeCode, reason: own.refuse.sentence });
      return Promise.resolve();
    }
    const subject = access && caller.caller && subjectName(caller.caller.subject, access.subjectKey);
    const trace = details.tracing?.session(session, upstreamAttributes(config));
    const told = trace?.observer(observer) ?? observer;
    const listed = details.calls?.begin(session, caller.sessionId ?? '', subject, told);
    return serveVoice(session, {
      backend: config.name,
      serverId: details.serverId,
      upstreamKind: hooks.openUpstream === undefined ? config.upstream.kind : 'custom',
      openUpstream: () => {
        const opened = own.openUpstream?.(onOddEvent) ?? openUpstream({ ...upstream(), onOddEvent });
        const traced = trace?.watch(opened) ?? opened;
        return listed?.watch(traced) ?? traced;
      },
      hooks: own.hooks,
      session: config.session,
      limits,
      resume,
      host: details.host,
      allowedEvents,
      draining,
      drainMs,
      movePace,
      shutdown,
      observer: listed?.observer ?? told,
      answerBudget,
      unfinished,
      earlyUpstreams,
      ...caller,
    });
  };
  if (access !== undefined) return withAccess(access, log, app, serve);
  return (session) => serve(session, { sessionId: randomUUID(), logger: log });
}
