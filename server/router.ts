import { isIPv6 } from 'node:net';
import type { Logger } from 'pino';
import { isIpv4Mapped, parseIp, toHex } from '../proto/wire/index.ts';
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

/** Octets of an IPv6 address that one customer is given: everything behind them is one caller's to choose. */
const IPV6_PREFIX_OCTETS = 8;

/** What calls are counted by: an IPv4 address, or the /64 that an IPv6 address is in. */
function limitKey(host: string): string {
  const octets = isIPv6(host) ? parseIp(host) : undefined;
  return octets === undefined || isIpv4Mapped(octets) ? host : toHex(octets.subarray(0, IPV6_PREFIX_OCTETS));
}

/** Serves one voice session until it ends. Never rejects. */
export type VoiceHandler = (session: WebTransportSession) => Promise<void>;

/** Decides which sessions are taken, and by whom; answers plain requests. */
export class SessionRouter implements HostHandlers {
  draining = false;
  readonly #config: BackendConfig;
  readonly #serverId: string;
  readonly #metrics: BackendMetrics;
  readonly #log: Logger;
  readonly #voice: VoiceHandler;
  readonly #onLoadChange: () => void;
  readonly #perAddress = new Map<string, number>();
  #sessions = 0;

  constructor(
    config: BackendConfig,
    serverId: string,
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

  get full(): boolean {
    return this.#sessions >= this.#config.maxSessions;
  }

  /** What /healthz says, as JSON. */
  health(): string {
    const state = this.draining ? 'draining' : this.full ? 'full' : 'ok';
    return JSON.stringify({
      status: state,
      backend: this.#config.name,
      serverId: this.#serverId,
      sessions: this.#sessions,
    });
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
      const status = this.draining || this.full ? 503 : 200;
      return { status, contentType: 'application/json', body: `${this.health()}\n` };
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
    const place = this.#hold(limitKey(request.remoteAddress.host));
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
    const fromAddress = this.#perAddress.get(limitKey(request.remoteAddress.host)) ?? 0;
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
