import type { Logger } from 'pino';
import { networkOf } from '../proto/wire/index.ts';
import type { BackendConfig } from './config.ts';
import { serveEcho } from './echo.ts';
import type { BackendMetrics } from './metrics.ts';
import type {
  HostHandlers,
  PlainRequest,
  PlainResponse,
  SessionDecision,
  SessionRequest,
  WebTransportSession,
} from './webtransport/index.ts';

/** A session's place in the counts. */
interface Place {
  readonly key: string;
  held: boolean;
  taken: boolean;
}

/** Serves one voice session until it ends. Never rejects. */
export type VoiceHandler = (session: WebTransportSession) => Promise<void>;

/** Decides which sessions are taken, and by whom; answers plain requests. */
export class SessionRouter implements HostHandlers {
  draining = false;
  readonly #config: BackendConfig;
  readonly #serverId: () => string;
  readonly #metrics: BackendMetrics;
  readonly #log: Logger;
  readonly #voice: VoiceHandler;
  readonly #onLoadChange: () => void;
  readonly #perAddress = new Map<string, number>();
  #sessions = 0;

  constructor(
    config: BackendConfig,
    serverId: () => string,
    metrics: BackendMetrics,
    log: Logger,
    voice: VoiceHandler,
    onLoadChange: () => void,
  ) {
    this.#config = config;
    this.#serverId = serverId;
    this.#metrics = metrics;
    this.#log = log;
    this.#voice = voice;
    this.#onLoadChange = onLoadChange;
  }

  /** Sessions that are open. */
  get sessions(): number {
    return this.#sessions;
  }

  /** Every connection has a session, and there are as many as may be. Set by the owner of the connections. */
  connectionsFull = false;

  get full(): boolean {
    return this.#sessions >= this.#config.maxSessions || this.connectionsFull;
  }

  /** What /healthz says: 503 and a sentence when newcomers are not taken. */
  health(): { readonly status: number; readonly body: string } {
    const { name, maxSessions, maxConnections } = this.#config;
    const state = this.draining ? 'draining' : this.full ? 'full' : 'ok';
    const reason = this.draining
      ? 'This backend is draining: it takes no new calls and ends when the running ones have ended.'
      : this.#sessions >= maxSessions
        ? `All ${maxSessions} sessions are in use (maxSessions); new calls are taken again when one ends.`
        : `All ${maxConnections} connections are in use (maxConnections); new calls are taken again when one ends.`;
    const body = JSON.stringify({
      status: state,
      ...(state !== 'ok' && { reason }),
      backend: name,
      serverId: this.#serverId(),
      sessions: this.#sessions,
    });
    return { status: state === 'ok' ? 200 : 503, body: `${body}\n` };
  }

  answer(request: PlainRequest): PlainResponse {
    const [path] = request.path.split('?', 1);
    const plain = (status: number, body: string) => ({
      status,
      contentType: 'text/plain; charset=utf-8',
      body,
    });
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return plain(405, 'Only GET and HEAD are answered here.\n');
    if (path === this.#config.healthPath) {
      return { contentType: 'application/json', ...this.health() };
    }
    return plain(404, `Nothing here. Voice sessions are on ${this.#config.voicePath}, over WebTransport.\n`);
  }

  decide(request: SessionRequest): SessionDecision {
    const refusal = this.#refusal(request);
    this.#metrics.sessionsTotal.inc({ outcome: refusal?.outcome ?? 'accepted' });
    if (refusal) {
      this.#log.info(
        { path: request.path, origin: request.origin, outcome: refusal.outcome },
        'session refused',
      );
      return { refuse: refusal.status };
    }
    const serve = request.path === this.#config.voicePath ? this.#voice : serveEcho;
    const place = this.#hold(networkOf(request.remoteAddress.host));
    return { accept: (session) => void this.#run(session, serve, place) };
  }

  /**
   * Counts a session from the decision on, as of many that are asked for at once none may slip past a limit. One that is not
   * taken up within this turn of the event loop, as its client is gone, counts no more.
   */
  #hold(key: string): Place {
    const place: Place = { key, held: true, taken: false };
    this.#count(key, 1);
    setImmediate(() => {
      if (place.taken) return;
      place.held = false;
      this.#count(key, -1);
    });
    return place;
  }

  #refusal(request: SessionRequest): { readonly status: number; readonly outcome: string } | undefined {
    const { voicePath, echoPath, origins, sessionsPerAddress } = this.#config;
    if (request.path !== voicePath && request.path !== echoPath)
      return { status: 404, outcome: 'unknown-path' };
    if (!this.#originAllowed(request.origin, origins)) return { status: 403, outcome: 'origin-refused' };
    if (this.draining || this.full) return { status: 503, outcome: 'not-taking-new' };
    const fromAddress = this.#perAddress.get(networkOf(request.remoteAddress.host)) ?? 0;
    if (fromAddress >= sessionsPerAddress) return { status: 429, outcome: 'address-limit' };
    return undefined;
  }

  /** A browser always sends an origin. A program sends none, and is bound by none: origins protect people, not servers. */
  #originAllowed(origin: string | undefined, allowed: readonly string[]): boolean {
    return origin === undefined || allowed.includes('*') || allowed.includes(origin);
  }

  async #run(session: WebTransportSession, serve: VoiceHandler, place: Place): Promise<void> {
    place.taken = true;
    if (!place.held) this.#count(place.key, 1);
    try {
      await serve(session);
      const { closeCode, reason } = await session.closed;
      this.#log.debug({ path: session.request.path, closeCode, reason }, 'session closed');
    } catch (error) {
      this.#log.debug({ err: error }, 'session lost');
    } finally {
      this.#count(place.key, -1);
    }
  }

  #count(key: string, change: 1 | -1): void {
    this.#sessions += change;
    const fromAddress = (this.#perAddress.get(key) ?? 0) + change;
    if (fromAddress > 0) this.#perAddress.set(key, fromAddress);
    else this.#perAddress.delete(key);
    this.#metrics.sessions.set(this.#sessions);
    this.#onLoadChange();
  }
}
