import type { CloseInfo } from '../../../../server/webtransport/types.ts';
import { PageStreams } from '../transport.ts';
import type { PageSession } from './page-session.ts';

/** `WebTransport` as the page knows it, over connections of this world. `dial` gives a session that is on its way, or why there is none. */
export function quicTransportOf(dial: (url: URL) => PageSession | Error): unknown {
  return class extends PageStreams {
    readonly ready: Promise<void>;
    readonly closed: Promise<CloseInfo>;

    constructor(url: string) {
      super();
      const session = dial(new URL(url));
      if (session instanceof Error) {
        this.ready = Promise.reject(session);
        this.closed = Promise.reject(session);
        this.ready.catch(() => undefined);
        this.closed.catch(() => undefined);
        return;
      }
      this.session = session;
      this.ready = session.ready;
      this.closed = session.closed;
    }

    close(info?: CloseInfo): void {
      this.session?.close(info);
    }
  };
}
