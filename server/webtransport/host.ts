import type { CloseReason, Path, QuicEvent, QuicTransport } from '../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../proto/webtransport/index.ts';
import { Session } from './session.ts';
import { passToSession } from './session-events.ts';
import type { NetworkChange, SessionRequest, WebTransportSession } from './types.ts';

/** What is asked of a QUIC connection here; `QuicConnection` has it. */
export interface HostedConnection extends QuicTransport {
  readonly path: Path;
  readonly closed: boolean;
  readonly serverName?: string | undefined;
}

/** A plain HTTP/3 request. */
export interface PlainRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
}

export interface PlainResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What becomes of a CONNECT: a handler for its session, or the HTTP status that refuses it. */
export type SessionDecision =
  | {
      readonly accept: (session: WebTransportSession) => void;
      /** One of `SessionRequest.protocols`, for a client that offers some. */
      readonly protocol?: string;
    }
  | { readonly refuse: number };

export interface HostHandlers {
  decide(request: SessionRequest): SessionDecision | Promise<SessionDecision>;
  answer(request: PlainRequest): PlainResponse;
}

type EventOf<Type extends WebTransportEvent['type']> = Extract<WebTransportEvent, { type: Type }>;

/** Turns the events of one QUIC connection into W3C-shaped sessions and answers to plain requests. */
export class WebTransportHost {
  readonly #machine: WebTransportConnection;
  readonly #quic: HostedConnection;
  readonly #handlers: HostHandlers;
  readonly #wake: () => void;
  readonly #onUse: () => void;
  readonly #sessions = new Map<number, Session>();
  #draining = false;
  /** Requests for a session that are being decided on. */
  #deciding = 0;

  /** @param onUse is called when a request has come, and when `idle` may have changed. */
  constructor(
    quic: HostedConnection,
    handlers: HostHandlers,
    wake: () => void,
    onUse: () => void = () => {},
  ) {
    this.#quic = quic;
    this.#handlers = handlers;
    this.#wake = wake;
    this.#onUse = onUse;
    this.#machine = new WebTransportConnection(quic);
  }

  /** No session is open or being decided on. */
  get idle(): boolean {
    return this.#sessions.size === 0 && this.#deciding === 0;
  }

  get sessions(): Iterable<WebTransportSession> {
    return this.#sessions.values();
  }

  /**
   * Tells each session to finish (WT_DRAIN_SESSION), and the client to ask for nothing more here (GOAWAY) once none is
   * left: Chromium takes GOAWAY for an end of all bidirectional streams, and loses a session that then opens one.
   */
  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions.values()) session.drain();
    this.#goAwayWhenIdle();
    this.#wake();
  }

  #goAwayWhenIdle(): void {
    if (this.#draining && this.#sessions.size === 0) this.#machine.goAway();
  }

  handle(event: QuicEvent): void {
    if (event.type === 'pathChanged') {
      const { path, previous, validated } = event;
      this.#networkChanged({ type: 'path', remote: path.remote, previous: previous.remote, validated });
    } else if (event.type === 'forwarderChanged') {
      this.#networkChanged({ type: 'forwarder', via: event.via });
    }
    if (event.type === 'closed') this.#connectionClosed(event.reason);
    this.#machine.handleEvent(event);
    for (let next = this.#machine.poll(); next !== undefined; next = this.#machine.poll())
      this.#dispatch(next);
  }

  /** Before the machine sees it, which would only say that the sessions were lost, not why. */
  #connectionClosed(reason: CloseReason): void {
    const detail = 'reason' in reason && reason.reason !== '' ? `: ${reason.reason}` : '';
    for (const session of this.#sessions.values())
      session.end(new Error(`the connection ended (${reason.kind})${detail}`));
    this.#sessions.clear();
  }

  #networkChanged(change: NetworkChange): void {
    for (const session of this.#sessions.values()) session.networkChanged(change);
  }

  #dispatch(event: WebTransportEvent): void {
    switch (event.type) {
      case 'sessionRequested':
        void this.#decide(event);
        break;
      case 'sessionClosed':
        this.#ended(event);
        break;
      case 'streamsAvailable':
        for (const session of this.#sessions.values()) passToSession(session, event);
        break;
      case 'request':
        this.#answer(event);
        break;
      case 'closed':
        break; // seen as the event of QUIC, before the machine
      case 'goAway':
        break; // of a client it speaks of pushes, and we push nothing
      case 'sessionEstablished':
      case 'sessionRejected':
      case 'response':
      case 'requestFailed':
        break; // a client's
      default: {
        // To the session that it names: what one session costs does not grow with the others.
        const session = this.#sessions.get(event.sessionId);
        if (session !== undefined) passToSession(session, event);
      }
    }
  }

  async #decide(event: EventOf<'sessionRequested'>): Promise<void> {
    const mark = event.path.indexOf('?');
    const path = mark < 0 ? event.path : event.path.slice(0, mark);
    const request: SessionRequest = {
      path,
      query: new URLSearchParams(mark < 0 ? '' : event.path.slice(mark + 1)),
      authority: event.authority,
      origin: event.origin,
      serverName: this.#quic.serverName,
      headers: event.headers,
      protocols: event.protocols,
      remoteAddress: this.#quic.path.remote,
    };
    let decision: SessionDecision;
    this.#deciding += 1;
    this.#onUse();
    try {
      decision = await this.#handlers.decide(request);
    } catch {
      decision = { refuse: 500 };
    }
    this.#deciding -= 1;
    if (this.#quic.closed) return;
    if ('refuse' in decision) this.#machine.rejectSession(event.sessionId, decision.refuse);
    else if (this.#machine.acceptSession(event.sessionId, [], decision.protocol)) {
      const session = new Session(event.sessionId, request, decision.protocol ?? '', this.#quic, {
        machine: this.#machine,
        wake: this.#wake,
      });
      this.#sessions.set(event.sessionId, session);
      decision.accept(session);
    }
    this.#onUse();
    this.#pollAfterDecision();
  }

  /** Streams that came before the session was accepted are announced by `acceptSession`. */
  #pollAfterDecision(): void {
    for (let next = this.#machine.poll(); next !== undefined; next = this.#machine.poll())
      this.#dispatch(next);
    this.#wake();
  }

  #ended(event: EventOf<'sessionClosed'>): void {
    const session = this.#sessions.get(event.sessionId);
    if (session === undefined) return;
    this.#sessions.delete(event.sessionId);
    session.keepUnread(event.unread ?? []);
    if (event.clean) session.end({ closeCode: event.code, reason: event.reason });
    else session.end(new Error(event.reason || 'the session was lost'));
    this.#goAwayWhenIdle();
    this.#onUse();
  }

  #answer(event: EventOf<'request'>): void {
    this.#onUse();
    const { status, contentType, body } = this.#handlers.answer(event);
    const octets = new TextEncoder().encode(body);
    const headers: [string, string][] = [
      ['content-type', contentType],
      ['content-length', String(octets.length)],
      ['cache-control', 'no-store'],
    ];
    this.#machine.respond(event.streamId, status, headers, event.method === 'HEAD' ? undefined : octets);
    this.#wake();
  }
}
