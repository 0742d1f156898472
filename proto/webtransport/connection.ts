import {
  type Field,
  Http3Connection,
  Http3Error,
  Http3ErrorCode,
  type Http3Event,
  type RequestHead,
  type ResponseHead,
  SettingId,
} from '../http3/index.ts';
import { type QuicEvent, type QuicTransport, type StreamDirection, UsageError } from '../quic/index.ts';
import { Queue } from '../wire/index.ts';
import { PROTOCOL_TOKENS, STREAM_SIGNALS, webTransportSettings } from './codes.ts';
import type { WebTransportEvent } from './events.ts';
import { type OutgoingRequest, PlainRequests } from './plain-requests.ts';
import type { SessionTarget } from './session.ts';
import { SessionRequests } from './session-requests.ts';
import { Sessions } from './sessions.ts';

export interface WebTransportOptions {
  /**
   * Sessions at a time that a client of the drafts before -13 may have. More than one lets a session starve the others,
   * as there is no flow control between them. Default 1.
   */
  readonly maxSessions?: number;
}

/**
 * WebTransport over one QUIC connection, either role (draft-ietf-webtrans-http3). Feed every QUIC event to `handleEvent`,
 * then take events with `poll` until there is none: request streams are read on as it is called, so that a peer's octets wait
 * under flow control and not as events. Nothing that the peer sends makes it throw.
 */
export class WebTransportConnection {
  readonly #quic: QuicTransport;
  readonly #http3: Http3Connection;
  readonly #weAreServer: boolean;
  readonly #maxSessions: number;
  readonly #sessions: Sessions;
  readonly #requests: SessionRequests;
  readonly #plain: PlainRequests;
  readonly #events = new Queue<WebTransportEvent>();
  #goAwayReceived = false;

  constructor(quic: QuicTransport, options: WebTransportOptions = {}) {
    this.#quic = quic;
    this.#weAreServer = quic.role === 'server';
    this.#maxSessions = options.maxSessions ?? 1;
    const settings = new Map(webTransportSettings(this.#maxSessions));
    settings.set(SettingId.H3_DATAGRAM, 1).set(SettingId.H3_DATAGRAM_DRAFT04, 1);
    if (this.#weAreServer) settings.set(SettingId.ENABLE_CONNECT_PROTOCOL, 1);
    this.#http3 = new Http3Connection(quic, { settings, signals: STREAM_SIGNALS });
    const emit = (event: WebTransportEvent) => void this.#events.push(event);
    this.#sessions = new Sessions(quic, this.#http3, emit);
    this.#requests = new SessionRequests(quic, this.#http3, this.#sessions, emit);
    this.#plain = new PlainRequests(this.#http3, emit);
  }

  /** True once GOAWAY came: then `connectSession` and `request` throw. */
  get goingAway(): boolean {
    return this.#goAwayReceived;
  }

  /** Data streams that are being tracked, for metrics. */
  get streamCount(): number {
    return this.#sessions.streams.size;
  }

  poll(): WebTransportEvent | undefined {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      const told = this.#http3.poll();
      if (told === undefined) return undefined;
      this.#checked(() => this.#told(told));
    }
  }

  /** Takes every event of the QUIC connection. */
  handleEvent(event: QuicEvent): void {
    if (event.type === 'closed') {
      // What came before the end still counts; QUIC's windows bound it.
      this.#checked(() => {
        for (let told = this.#http3.poll(); told !== undefined; told = this.#http3.poll()) this.#told(told);
      });
      this.#http3.handleEvent(event);
      this.#sessions.connectionLost();
      this.#plain.connectionLost();
      this.#events.push(event);
      return;
    }
    if (this.#http3.closed) return;
    this.#checked(() => {
      if (!this.#sessions.streams.handle(event)) this.#http3.handleEvent(event);
      for (let told = this.#http3.pollWaiting(); told !== undefined; told = this.#http3.pollWaiting())
        this.#told(told);
    });
    if (event.type === 'streamsAvailable')
      this.#events.push({ type: 'streamsAvailable', direction: event.direction });
  }

  #checked(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Http3Error)) throw error;
      this.#http3.fail(error.code, error.message);
    }
  }

  #told(event: Http3Event): void {
    if (this.#http3.closed) return;
    switch (event.type) {
      case 'settings':
        this.#requests.settings(event.settings);
        return;
      case 'request':
        this.#request(event.streamId, event.request);
        return;
      case 'response':
        this.#response(event.streamId, event.response);
        return;
      case 'data':
        if (!this.#sessions.data(event.streamId, event.data)) this.#plain.data(event.streamId, event.data);
        return;
      case 'end':
        if (!this.#sessions.ended(event.streamId)) this.#plain.end(event.streamId);
        return;
      case 'aborted':
        if (!this.#sessions.aborted(event.streamId, event.reason))
          this.#plain.aborted(event.streamId, event.code, event.reason);
        return;
      case 'stopped':
        if (!this.#sessions.stopped(event.streamId, event.code)) this.#plain.stopped(event.streamId);
        return;
      case 'signalStream':
        this.#sessions.streams.incoming(event);
        return;
      case 'datagram':
        if (!this.#plain.datagram(event.streamId)) this.#sessions.datagram(event.streamId, event.data);
        return;
      default:
        this.#goAway(event.id);
    }
  }

  #request(streamId: number, request: RequestHead): void {
    if (request.protocol === undefined && request.method !== 'CONNECT') {
      this.#plain.begin(streamId, request);
      return;
    }
    // RFC 9220 §3: a protocol that we do not speak.
    if (request.protocol === undefined || !PROTOCOL_TOKENS.has(request.protocol)) {
      this.#plain.refuse(streamId, 501);
      this.#sessions.refused(streamId);
      return;
    }
    const allowed = request.protocol === 'webtransport' ? this.#maxSessions : 1;
    if (this.#sessions.liveCount >= allowed) {
      // draft-ietf-webtrans-http3 §5.1: another connection may carry it.
      this.#http3.abort(streamId, Http3ErrorCode.H3_REQUEST_REJECTED);
      this.#sessions.refused(streamId);
      return;
    }
    this.#requests.asked(streamId, request);
  }

  #response(streamId: number, response: ResponseHead): void {
    if (!this.#plain.response(streamId, response.status, response.headers))
      this.#requests.answered(streamId, response);
  }

  #goAway(id: number): void {
    this.#goAwayReceived = true;
    this.#events.push({ type: 'goAway' });
    if (!this.#weAreServer) {
      this.#plain.goAway(id);
      this.#sessions.goAway(id);
    }
    this.#sessions.drainAll();
  }

  /**
   * Server: accepts a session that was asked for, with one of the protocols that its client offered if there is a choice. Does
   * nothing, and gives false, when the client has given it up. Throws `UsageError` when the protocol was not offered.
   */
  acceptSession(sessionId: number, headers: readonly Field[] = [], protocol?: string): boolean {
    return this.#requests.accept(sessionId, headers, protocol);
  }

  /** Server: answers with a status that refuses, such as 403, 404 or 429. Does nothing when the session is gone. */
  rejectSession(sessionId: number, status: number, headers: readonly Field[] = []): void {
    this.#requests.refuse(sessionId, status, headers);
  }

  /** Server: answers a plain request; Content-Length is added. Does nothing when the client has given up. */
  respond(
    streamId: number,
    status: number,
    headers: readonly Field[] = [],
    body: Uint8Array = new Uint8Array(0),
  ): void {
    this.#plain.respond(streamId, status, headers, body);
  }

  /**
   * Client: asks for a session; its ID comes at once, the CONNECT leaves when the server's SETTINGS are there.
   * Throws `UsageError` when the connection takes no more requests, or a protocol is not printable ASCII.
   */
  connectSession(target: SessionTarget): number {
    this.#mayRequest();
    return this.#requests.connect(target);
  }

  /** Client: sends a plain request; gives its stream ID. Throws `UsageError` as `connectSession` does. */
  request(request: OutgoingRequest): number {
    this.#mayRequest();
    return this.#plain.send(request);
  }

  #mayRequest(): void {
    if (this.#weAreServer) throw new UsageError('only a client sends requests');
    if (this.#http3.closed) throw new UsageError('the connection is closed; open a new one');
    if (this.#goAwayReceived) throw new UsageError('the server sent GOAWAY; open a new connection');
  }

  /** A new stream of an open session, `undefined` while there is none to have: then wait for `streamsAvailable`. */
  openStream(sessionId: number, direction: StreamDirection): number | undefined {
    if (this.#sessions.get(sessionId)?.state !== 'open') return undefined;
    const streamId = this.#http3.openStream(direction);
    if (streamId !== undefined) this.#sessions.streams.outgoing(streamId, direction, sessionId);
    return streamId;
  }

  /** Takes all of `data`, which must not change after. Does nothing on a stream that is gone. */
  writeStream(streamId: number, data: Uint8Array, fin = false): void {
    this.#sessions.streams.write(streamId, data, fin);
  }

  /**
   * Commits to all that was written so far: it reaches the peer even when the stream is reset later, if the peer takes
   * RESET_STREAM_AT. The stream's head is committed to from the start (draft-ietf-webtrans-http3 §4.4).
   */
  commitStream(streamId: number): void {
    this.#sessions.streams.commit(streamId);
  }

  /** Octets written and not sent yet, the stream's head of a few octets included. */
  streamBufferedOctets(streamId: number): number {
    return this.#sessions.streams.bufferedOctets(streamId);
  }

  readStream(
    streamId: number,
    maxOctets?: number,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined {
    return this.#sessions.streams.read(streamId, maxOctets);
  }

  /** Resets our half with an application code, 0 to 2^32 - 1. Octets that were committed to are delivered still. */
  resetStream(streamId: number, code: number): void {
    this.#sessions.streams.reset(streamId, code);
  }

  /** Asks the peer to stop sending, with an application code; nothing more is read. */
  stopSending(streamId: number, code: number): void {
    this.#sessions.streams.stop(streamId, code);
  }

  setStreamPriority(streamId: number, priority: number): void {
    this.#sessions.streams.prioritise(streamId, priority);
  }

  /** False when the session is not open, the datagram is too large, or the queue is full. */
  sendDatagram(sessionId: number, data: Uint8Array): boolean {
    return this.#sessions.get(sessionId)?.state === 'open' && this.#http3.sendDatagram(sessionId, data);
  }

  maxDatagramOctets(sessionId: number): number {
    return this.#http3.maxDatagramOctets(sessionId);
  }

  /** Ends a session; `reason` is cut to 1024 octets of UTF-8. `sessionClosed` follows at once. */
  closeSession(sessionId: number, code = 0, reason = ''): void {
    this.#sessions.close(sessionId, code, reason);
  }

  /** Tells the peer to wind the session up (WT_DRAIN_SESSION). */
  drainSession(sessionId: number): void {
    this.#sessions.drain(sessionId);
  }

  /** Takes no more requests on this connection; what is there goes on (RFC 9114 §5.2). */
  goAway(): void {
    this.#http3.goAway();
  }

  /** Figures of the connection beneath. */
  get quic(): QuicTransport {
    return this.#quic;
  }
}
