import type { SessionRequest } from '../../../server/webtransport/types.ts';
import type { Link, LinkEnd } from './link.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What dials find. */
export interface TransportWorld {
  readonly time: VirtualTime;
  readonly plan: { readonly delayMs: number };
  /** A session of this URL, or why there is none; undefined when nothing answers. */
  dial(url: URL): Link | Error | undefined;
}

/** What a backend is asked by one who dials `url` from there. */
export function requestFor(url: URL, remoteAddress: SessionRequest['remoteAddress']): SessionRequest {
  return {
    path: url.pathname,
    query: url.searchParams,
    authority: url.host,
    origin: undefined,
    headers: [],
    protocols: [],
    remoteAddress,
  };
}

/** The streams of a session, as a page asks its `WebTransport` for them; none before there is one. */
export abstract class PageStreams {
  protected session:
    | Pick<
        LinkEnd,
        'incomingUnidirectionalStreams' | 'createBidirectionalStream' | 'createUnidirectionalStream' | 'close'
      >
    | undefined;

  get incomingUnidirectionalStreams(): unknown {
    return this.session?.incomingUnidirectionalStreams;
  }

  createBidirectionalStream(): unknown {
    return this.session?.createBidirectionalStream();
  }

  createUnidirectionalStream(): unknown {
    return this.session?.createUnidirectionalStream();
  }
}

/** `WebTransport` as the page knows it, over the sessions of this world. */
export function transportOf(world: TransportWorld): unknown {
  return class extends PageStreams {
    readonly ready: Promise<void>;
    readonly closed: Promise<unknown>;
    #given = false;
    #settle!: { resolve(info: unknown): void; reject(error: Error): void };

    constructor(url: string) {
      super();
      this.closed = new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
      });
      this.closed.catch(() => undefined);
      const { time, plan } = world;
      this.ready = new Promise((resolve, reject) => {
        // A round trip for the handshake, half of another for the request.
        time.later(3 * plan.delayMs, () => {
          if (this.#given) return;
          const link = world.dial(new URL(url));
          if (link === undefined) return;
          if (link instanceof Error) {
            this.#settle.reject(link);
            reject(link);
            return;
          }
          this.session = link.page;
          link.page.closed.then(this.#settle.resolve, this.#settle.reject);
          time.later(plan.delayMs, resolve);
        });
      });
      this.ready.catch(() => undefined);
    }

    close(info?: { closeCode: number; reason: string }): void {
      this.#given = true;
      if (this.session !== undefined) this.session.close(info);
      else this.#settle.reject(new Error('closed before it was ready'));
    }
  };
}
