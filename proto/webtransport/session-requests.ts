import {
  allowsDatagrams,
  type Field,
  type Http3Connection,
  Http3Error,
  Http3ErrorCode,
  headerValue,
  type RequestHead,
  type ResponseHead,
  type Settings,
} from '../http3/index.ts';
import type { QuicTransport } from '../quic/index.ts';
import { offersWebTransport, settingsFault, WebTransportErrorCode } from './codes.ts';
import type { WebTransportEvent } from './events.ts';
import { choiceField, chosenProtocol, offeredProtocols, offerField } from './protocols.ts';
import type { Session, SessionTarget } from './session.ts';
import type { Sessions } from './sessions.ts';

/** Name of the header by which draft -02 is asked for, and the one by which it is granted. */
const DRAFT02_REQUEST = 'sec-webtransport-http3-draft02';
const DRAFT02_RESPONSE = 'sec-webtransport-http3-draft';

/** How a session comes to be: the CONNECT that asks for it, the SETTINGS that it waits for, the answer. Either role. */
export class SessionRequests {
  readonly #quic: QuicTransport;
  readonly #http3: Http3Connection;
  readonly #sessions: Sessions;
  readonly #emit: (event: WebTransportEvent) => void;

  constructor(
    quic: QuicTransport,
    http3: Http3Connection,
    sessions: Sessions,
    emit: (event: WebTransportEvent) => void,
  ) {
    this.#quic = quic;
    this.#http3 = http3;
    this.#sessions = sessions;
    this.#emit = emit;
  }

  /** The peer's SETTINGS decide over the sessions that waited for them (draft-ietf-webtrans-http3 §3.1). */
  settings(settings: Settings): void {
    const fault = settingsFault(settings, this.#quic.role);
    if (fault !== undefined) throw new Http3Error(Http3ErrorCode.H3_SETTINGS_ERROR, fault);
    for (const session of this.#sessions.waiting()) {
      const { request } = session;
      session.request = undefined;
      if (request === undefined) continue;
      if ('method' in request) this.#ask(session, request);
      else if (this.#offered(settings)) this.#sendConnect(session, request);
      else {
        const reason =
          'the server offers no WebTransport that we speak; check that it runs HTTP/3 with WebTransport';
        this.#sessions.reject(session.id, 0, reason);
      }
    }
  }

  #offered(settings: Settings): boolean {
    return offersWebTransport(settings) && this.#takesDatagrams(settings);
  }

  /** Both of HTTP and of QUIC (draft-ietf-webtrans-http3 §3.1). */
  #takesDatagrams(settings: Settings | undefined): boolean {
    return allowsDatagrams(settings) && this.#quic.maxDatagramOctets() > 0;
  }

  /** Server: a CONNECT for a session came. */
  asked(streamId: number, request: RequestHead): void {
    const draft02 = headerValue(request.headers, DRAFT02_REQUEST) === '1';
    const session = this.#sessions.add(streamId, draft02);
    if (this.#http3.peerSettings === undefined) session.request = request;
    else this.#ask(session, request);
  }

  /** Hands a session request to the owner, now that the client's SETTINGS are known. */
  #ask(session: Session, request: RequestHead): void {
    const { id: sessionId } = session;
    if (!this.#takesDatagrams(this.#http3.peerSettings) || request.scheme !== 'https') {
      // draft-ietf-webtrans-http3 §3.1: without the settings and parameters, or the scheme, the request is malformed.
      this.#sessions.forget(sessionId);
      this.#http3.abort(sessionId, Http3ErrorCode.H3_MESSAGE_ERROR);
      return;
    }
    session.state = 'asked';
    const { path, authority, headers } = request;
    const origin = headerValue(headers, 'origin');
    session.protocols = offeredProtocols(headers);
    const { protocols } = session;
    this.#emit({ type: 'sessionRequested', sessionId, path, authority, origin, headers, protocols });
  }

  /** Server: see `WebTransportConnection.acceptSession`. */
  accept(sessionId: number, headers: readonly Field[], protocol: string | undefined): boolean {
    const session = this.#askedOfUs(sessionId);
    if (session === undefined) return false;
    const fields: Field[] = [[':status', '200']];
    if (session.draft02) fields.push([DRAFT02_RESPONSE, 'draft02']);
    if (protocol !== undefined) fields.push(choiceField(protocol, session.protocols));
    this.#http3.sendHeaders(sessionId, [...fields, ...headers]);
    this.#sessions.open(session);
    return true;
  }

  /** Server: see `WebTransportConnection.rejectSession`. */
  refuse(sessionId: number, status: number, headers: readonly Field[]): void {
    if (this.#askedOfUs(sessionId) === undefined) return;
    this.#http3.sendHeaders(sessionId, [[':status', String(status)], ...headers], true);
    this.#http3.stopReading(sessionId, Http3ErrorCode.H3_NO_ERROR);
    this.#sessions.forget(sessionId);
  }

  #askedOfUs(sessionId: number): Session | undefined {
    const session = this.#sessions.get(sessionId);
    return this.#quic.role === 'server' && session?.state === 'asked' ? session : undefined;
  }

  /** Client: see `WebTransportConnection.connectSession`. */
  connect(target: SessionTarget): number {
    const { protocols = [] } = target;
    offerField(protocols); // throws now, not when the SETTINGS come
    const sessionId = this.#http3.reserveRequest('CONNECT');
    const session = this.#sessions.add(sessionId, true);
    session.protocols = protocols;
    const settings = this.#http3.peerSettings;
    if (settings === undefined) session.request = target;
    else if (this.#offered(settings)) this.#sendConnect(session, target);
    else this.#sessions.reject(sessionId, 0, 'the server offers no WebTransport that we speak');
    return sessionId;
  }

  #sendConnect(session: Session, target: SessionTarget): void {
    session.state = 'asked';
    const fields: Field[] = [
      [':method', 'CONNECT'],
      [':protocol', 'webtransport'],
      [':scheme', 'https'],
      [':authority', target.authority],
      [':path', target.path],
      [DRAFT02_REQUEST, '1'],
    ];
    if (target.origin !== undefined) fields.push(['origin', target.origin]);
    if (session.protocols.length > 0) fields.push(offerField(session.protocols));
    this.#http3.sendHeaders(session.id, [...fields, ...(target.headers ?? [])]);
  }

  /** Client: the server answered a CONNECT. */
  answered(streamId: number, { status, headers }: ResponseHead): void {
    const session = this.#sessions.get(streamId);
    if (session?.state !== 'asked') return;
    if (status < 200 || status >= 300) {
      this.#sessions.reject(streamId, status, `the server answered with status ${status}`);
      return;
    }
    const protocol = chosenProtocol(headers);
    if (protocol !== undefined && !session.protocols.includes(protocol)) {
      // draft-ietf-webtrans-http3 §3.3
      const reason = `the server chose protocol ${JSON.stringify(protocol)}, which was not offered`;
      this.#sessions.reject(streamId, status, reason, WebTransportErrorCode.WT_ALPN_ERROR);
      return;
    }
    this.#emit({ type: 'sessionEstablished', sessionId: streamId, headers, protocol });
    this.#sessions.open(session);
  }
}
