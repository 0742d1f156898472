import type { WebTransportSession } from '../../../server/webtransport/types.ts';
import type { SeededRandom } from '../random.ts';
import type { Trace } from '../trace.ts';
import type { CallBackend, SessionDetails } from './backend.ts';
import { Link } from './link.ts';
import type { CallsPlan } from './plan.ts';
import { requestFor, transportOf } from './transport.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What carries sessions needs of its world. */
export interface CallNetworkHost {
  readonly plan: CallsPlan;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly random: SeededRandom;
  readonly backends: readonly CallBackend[];
  /** A session of this URL comes to this backend. */
  session(backend: CallBackend, url: URL): SessionDetails;
  meet(what: string): void;
}

/** A session as a tab of its own has it, which may be dialled still. */
export type TabSession = Pick<WebTransportSession, 'closed' | 'close' | 'createBidirectionalStream'>;

/** What lies between pages and backends: whole sessions that end, or QUIC over a network of packets. */
export interface CallNetwork {
  /** `WebTransport` as the page knows it. */
  readonly transport: unknown;
  /** The call is ready: what goes wrong may begin. */
  begin(): void;
  /** Whether dials get an answer. */
  readonly up: boolean;
  /** A session with this backend and no other. */
  dialTab(backend: CallBackend, url: URL): TabSession;
  /** Whether nothing has ended the session of this number. */
  stands(serial: number): boolean;
  /** Each session breaks; each side hears of it when it does, if at all. */
  cutAll(pageMs: number | undefined, serverMs: number | undefined): void;
  silence(forMs: number): void;
  /** What the page sends does not come through, and what backends send does. */
  silencePage(forMs: number): void;
  /** Sessions are silent, and dials are refused, or not answered. */
  outage(forMs: number, refuses: boolean): void;
  /** The process is gone, with its sessions; each page hears of it after what `pageMs` says. */
  backendGone(backend: CallBackend, pageMs: () => number | undefined): void;
  /** It is there again, with nothing of what it had. */
  backendStarts(backend: CallBackend): void;
  /** It takes no new sessions. */
  backendDrains(backend: CallBackend): void;
  /** All is well from now on. */
  calm(): void;
  /** The run is over. */
  close(): Promise<void>;
}

/** Sessions as they are, without a network beneath them: fast, and cut at instants that no network would choose. */
export class LinkNetwork implements CallNetwork {
  readonly transport: unknown;
  readonly #host: CallNetworkHost;
  /** By the number of the session. */
  readonly #links: Link[] = [];
  readonly #linksOf = new Map<CallBackend, Link[]>();
  #state: 'up' | 'refuses' | 'silent' = 'up';

  constructor(host: CallNetworkHost) {
    this.#host = host;
    this.transport = transportOf({ time: host.time, plan: host.plan, dial: (url) => this.#dial(url) });
  }

  get up(): boolean {
    return this.#state === 'up';
  }

  begin(): void {}

  dialTab(backend: CallBackend, url: URL): TabSession {
    return this.#connect(backend, url).page;
  }

  stands(serial: number): boolean {
    return this.#links[serial]?.up === true;
  }

  cutAll(pageMs: number | undefined, serverMs: number | undefined): void {
    for (const link of this.#links) if (link.up) link.cut(pageMs, serverMs);
  }

  silence(forMs: number): void {
    this.#hush(forMs, (link) => link.silence());
  }

  /** Of sessions that stand; new ones are heard. */
  silencePage(forMs: number): void {
    const silent = this.#hush(forMs, (link) => link.silencePage());
    this.#host.time.later(forMs, () => {
      if (silent.some((link) => link.page.over || link.server.over)) this.#host.meet('unheard session left');
    });
  }

  #hush(forMs: number, hush: (link: Link) => void): readonly Link[] {
    const silent = this.#links.filter(({ up }) => up);
    for (const link of silent) hush(link);
    this.#host.time.later(forMs, () => {
      for (const link of silent) link.recover();
    });
    return silent;
  }

  outage(forMs: number, refuses: boolean): void {
    this.#state = refuses ? 'refuses' : 'silent';
    this.silence(forMs);
    this.#host.time.later(forMs, () => {
      this.#state = 'up';
    });
  }

  backendGone(backend: CallBackend, pageMs: () => number | undefined): void {
    for (const link of this.#linksOf.get(backend) ?? []) if (link.up) link.cut(pageMs(), undefined);
    this.#linksOf.delete(backend);
  }

  backendStarts(): void {}

  backendDrains(): void {}

  calm(): void {
    this.#state = 'up';
    for (const link of this.#links) link.recover();
  }

  async close(): Promise<void> {}

  /** A session of this URL, or why there is none; undefined when nothing answers. */
  #dial(url: URL): Link | Error | undefined {
    if (this.#state === 'refuses') return new Error('refused');
    if (this.#state === 'silent') return undefined;
    const backend = this.#route(url);
    return backend === undefined ? new Error('no backend') : this.#connect(backend, url);
  }

  #route(url: URL): CallBackend | undefined {
    const { backends, random } = this.#host;
    const named = backends.find(({ host, alive }) => alive && url.hostname === host);
    const open = backends.filter(({ takesNew }) => takesNew);
    return named ?? (open.length > 0 ? random.pick(open) : undefined);
  }

  #connect(backend: CallBackend, url: URL): Link {
    const { time, random, trace, plan } = this.#host;
    const details = this.#host.session(backend, url);
    const request = requestFor(url, { host: '192.0.2.1', port: 1000 + details.serial });
    const { delayMs, jitterMs } = plan;
    const link = new Link(`session-${details.serial}`, { time, random, trace, delayMs, jitterMs }, request);
    this.#links[details.serial] = link;
    if (!backend.alive) return link;
    this.#linksOf.set(backend, [...(this.#linksOf.get(backend) ?? []), link]);
    backend.serve(link.server, details);
    return link;
  }
}
