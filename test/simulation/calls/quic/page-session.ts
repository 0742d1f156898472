import type { QuicConnection, QuicEvent } from '../../../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../../proto/webtransport/index.ts';
import { Session } from '../../../../server/webtransport/session.ts';
import { passToSession } from '../../../../server/webtransport/session-events.ts';
import type { BidirectionalStream, CloseInfo } from '../../../../server/webtransport/types.ts';
import { requestFor } from '../transport.ts';

/** How long a close may take to be acknowledged. */
const CLOSE_AFTER_MS = 500;

/** A page's session over a QUIC connection of its own, with the shape of W3C WebTransport: the client's machine, and streams as they ship. */
export class PageSession {
  readonly ready: Promise<void>;
  readonly closed: Promise<CloseInfo>;
  readonly #quic: QuicConnection;
  readonly #machine: WebTransportConnection;
  readonly #session: Session;
  #id: number | undefined;
  #settleReady!: { resolve(): void; reject(error: Error): void };
  /** It is over for the page. */
  over = false;
  established = false;

  constructor(quic: QuicConnection, url: URL, wake: () => void) {
    this.#quic = quic;
    this.#machine = new WebTransportConnection(quic);
    this.#url = url;
    this.#wake = wake;
    const request = requestFor(url, quic.path.remote);
    // The CONNECT is the first stream of its connection, and the only one.
    this.#session = new Session(0, request, '', quic, { machine: this.#machine, wake });
    this.closed = this.#session.closed;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.ready.catch(() => undefined);
  }

  readonly #url: URL;
  readonly #wake: () => void;

  get incomingUnidirectionalStreams(): ReadableStream<ReadableStream<Uint8Array>> {
    return this.#session.incomingUnidirectionalStreams as ReadableStream<ReadableStream<Uint8Array>>;
  }

  async createBidirectionalStream(): Promise<BidirectionalStream> {
    await this.ready;
    return this.#session.createBidirectionalStream();
  }

  async createUnidirectionalStream(): Promise<WritableStream<Uint8Array>> {
    await this.ready;
    return this.#session.createUnidirectionalStream();
  }

  close({ closeCode = 0, reason = '' }: Partial<CloseInfo> = {}): void {
    if (this.over) return;
    if (this.established) {
      this.over = true;
      this.#session.close({ closeCode, reason });
      this.#closeConnection();
    } else this.lose(new Error('closed before it was ready'), true);
  }

  /** A connection has one session: behind its end there is nothing more, but for what is to be sent again. */
  #closeConnection(): void {
    setTimeout(() => {
      this.#quic.close(0x100, '');
      this.#wake();
    }, CLOSE_AFTER_MS);
  }

  /** The browser gives it up. `told`: the server is. */
  lose(error: Error, told: boolean): void {
    if (this.over) return;
    this.over = true;
    if (told) this.#quic.close(0x100, '');
    this.#session.end(error);
    this.#settleReady.reject(error);
    this.#wake();
  }

  handle(event: QuicEvent): void {
    if (event.type === 'closed') {
      const { reason } = event;
      this.lose(new Error(`the connection ended (${reason.kind})`), false);
    }
    this.#machine.handleEvent(event);
    if (event.type === 'connected' && this.#id === undefined && !this.over) {
      const { host, pathname, search } = this.#url;
      this.#id = this.#machine.connectSession({ authority: host, path: `${pathname}${search}` });
      if (this.#id !== this.#session.id) throw new Error(`the CONNECT is stream ${this.#id}`);
    }
    for (let next = this.#machine.poll(); next !== undefined; next = this.#machine.poll()) this.#take(next);
  }

  #take(event: WebTransportEvent): void {
    const session = this.#session;
    switch (event.type) {
      case 'sessionEstablished':
        this.established = true;
        this.#settleReady.resolve();
        break;
      case 'sessionRejected':
        this.lose(new Error(`refused with ${event.status} ${event.reason}`), true);
        break;
      case 'sessionClosed':
        this.over = true;
        session.keepUnread(event.unread ?? []);
        session.end(
          event.clean ? { closeCode: event.code, reason: event.reason } : new Error(event.reason || 'lost'),
        );
        this.#closeConnection();
        break;
      default:
        passToSession(session, event);
    }
  }
}
