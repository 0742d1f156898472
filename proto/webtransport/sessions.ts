import {
  type Capsule,
  CapsuleError,
  encodeCapsule,
  type Http3Connection,
  Http3ErrorCode,
} from '../http3/index.ts';
import type { QuicTransport } from '../quic/index.ts';
import { LazySet } from '../wire/index.ts';
import { decodeClose, encodeClose } from './close-capsule.ts';
import { CapsuleType, WebTransportErrorCode } from './codes.ts';
import type { WebTransportEvent } from './events.ts';
import { Session } from './session.ts';
import { DataStreams, type StreamHost } from './streams.ts';

/** Ended sessions that are remembered, so that late streams are told so; older ones run into the buffer's bound. */
const MAX_REMEMBERED_SESSIONS = 256;
/** Datagrams that may wait for their session, and their octets in sum (draft-ietf-webtrans-http3 §4.6). */
export const MAX_BUFFERED_DATAGRAMS = 64;
const MAX_BUFFERED_DATAGRAM_OCTETS = 65_536;
/** Above an application's streams: a close must not wait behind audio. */
const CONNECT_PRIORITY = 0x7fff_fffe;
const NOTHING = new Uint8Array(0);

/** The sessions of a connection, from their CONNECT to the end of its stream. */
export class Sessions implements StreamHost {
  readonly streams: DataStreams;
  readonly #quic: QuicTransport;
  readonly #http3: Http3Connection;
  readonly #emit: (event: WebTransportEvent) => void;
  readonly #sessions = new Map<number, Session>();
  readonly #ended = new LazySet<number>();
  readonly #datagrams: { readonly sessionId: number; readonly data: Uint8Array }[] = [];
  #datagramOctets = 0;

  constructor(quic: QuicTransport, http3: Http3Connection, emit: (event: WebTransportEvent) => void) {
    this.#quic = quic;
    this.#http3 = http3;
    this.#emit = emit;
    this.streams = new DataStreams(quic, this);
  }

  emit(event: WebTransportEvent): void {
    this.#emit(event);
  }

  sessionState(sessionId: number): 'open' | 'pending' | 'unknown' | 'gone' {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return this.#ended.has(sessionId) ? 'gone' : 'unknown';
    if (session.pending) return 'pending';
    return session.state === 'open' ? 'open' : 'gone';
  }

  get(sessionId: number): Session | undefined {
    return this.#sessions.get(sessionId);
  }

  /** Sessions that wait for the peer's SETTINGS. */
  waiting(): Session[] {
    return [...this.#sessions.values()].filter((session) => session.state === 'waiting');
  }

  /** Sessions that are not over. */
  get liveCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.state !== 'closed') count++;
    return count;
  }

  add(sessionId: number, draft02: boolean): Session {
    const session = new Session(sessionId, draft02);
    this.#sessions.set(sessionId, session);
    return session;
  }

  open(session: Session): void {
    session.state = 'open';
    this.#quic.setStreamPriority(session.id, CONNECT_PRIORITY);
    this.streams.sessionOpened(session.id);
    for (const data of this.#takeDatagrams(session.id)) this.#emitDatagram(session.id, data);
    const early = session.takeEarly();
    if (early.length > 0) this.data(session.id, early);
    if (session.earlyEnd) this.ended(session.id);
  }

  /** A request that will be no session: what waited for it is turned away. */
  refused(sessionId: number): void {
    this.#remember(sessionId);
    this.#takeDatagrams(sessionId);
    this.streams.sessionGone(sessionId, WebTransportErrorCode.WT_BUFFERED_STREAM_REJECTED);
  }

  /** As `refused`, of a session that was added. */
  forget(sessionId: number): void {
    this.#sessions.delete(sessionId);
    this.refused(sessionId);
  }

  /** Client: the session did not come to be. */
  reject(
    sessionId: number,
    status: number,
    reason: string,
    httpCode: number = Http3ErrorCode.H3_REQUEST_CANCELLED,
  ): void {
    this.forget(sessionId);
    this.#http3.abort(sessionId, httpCode);
    this.#emit({ type: 'sessionRejected', sessionId, status, reason });
  }

  #remember(sessionId: number): void {
    this.#ended.add(sessionId);
    if (this.#ended.size <= MAX_REMEMBERED_SESSIONS) return;
    for (const oldest of this.#ended) {
      this.#ended.delete(oldest);
      return;
    }
  }

  /** Data of a CONNECT stream: capsules. False when the stream is no session's. */
  data(sessionId: number, data: Uint8Array): boolean {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return false;
    if (session.pending) {
      if (!session.holdEarly(data))
        this.#cut(session, Http3ErrorCode.H3_EXCESSIVE_LOAD, 'too many capsules ahead of the answer');
    } else if (session.closeReceived) {
      this.#behindClose(session);
    } else if (session.state === 'open') this.#capsules(session, data);
    return true;
  }

  #capsules(session: Session, data: Uint8Array): void {
    let capsules: Capsule[];
    try {
      capsules = session.capsules(data);
    } catch (error) {
      if (!(error instanceof CapsuleError)) throw error;
      this.#cut(session, Http3ErrorCode.H3_MESSAGE_ERROR, error.message);
      return;
    }
    for (const [index, capsule] of capsules.entries()) {
      if (session.state === 'open') this.#capsule(session, capsule);
      if (!session.closeReceived) continue;
      if (index < capsules.length - 1 || session.octetsBehind) this.#behindClose(session);
      return;
    }
  }

  /** draft-ietf-webtrans-http3 §6: nothing may follow the close. */
  #behindClose(session: Session): void {
    this.#http3.abort(session.id, Http3ErrorCode.H3_MESSAGE_ERROR);
    this.#sessions.delete(session.id);
  }

  #capsule(session: Session, capsule: Capsule): void {
    switch (capsule.type) {
      case CapsuleType.CLOSE_SESSION: {
        const close = decodeClose(capsule.value);
        if (close === undefined) {
          this.#cut(session, Http3ErrorCode.H3_MESSAGE_ERROR, 'the close capsule is malformed');
          return;
        }
        session.closeReceived = true;
        this.#http3.sendData(session.id, NOTHING, true);
        this.#over(session, close.code, close.reason, true);
        return;
      }
      case CapsuleType.DRAIN_SESSION:
        this.#tellDraining(session);
        return;
      case CapsuleType.DATAGRAM:
        this.#emitDatagram(session.id, capsule.value);
        return;
      default:
        this.#cut(session, Http3ErrorCode.H3_MESSAGE_ERROR, 'a capsule of WebTransport over HTTP/2');
    }
  }

  #tellDraining(session: Session): void {
    if (session.drainTold || session.state === 'closed') return;
    session.drainTold = true;
    this.#emit({ type: 'sessionDraining', sessionId: session.id });
  }

  drainAll(): void {
    for (const session of this.#sessions.values()) this.#tellDraining(session);
  }

  /** The session is over: its streams end, its owner learns it (draft-ietf-webtrans-http3 §6). */
  #over(session: Session, code: number, reason: string, clean: boolean): void {
    const untold = session.state === 'waiting' && this.#quic.role === 'server';
    session.state = 'closed';
    session.takeEarly();
    this.#remember(session.id);
    this.#takeDatagrams(session.id);
    const unread = this.streams.sessionGone(session.id, WebTransportErrorCode.WT_SESSION_GONE);
    if (untold) return;
    const end = { type: 'sessionClosed', sessionId: session.id, code, reason, clean } as const;
    this.#emit(unread.length === 0 ? end : { ...end, unread });
  }

  /** Ends a session and its CONNECT stream with an HTTP/3 error. */
  #cut(session: Session, httpCode: number, reason: string): void {
    this.#http3.abort(session.id, httpCode);
    this.#sessions.delete(session.id);
    if (session.state !== 'closed') this.#over(session, 0, reason, false);
  }

  /** The peer ended the CONNECT stream: a clean close with code 0, unless a close capsule came. */
  ended(sessionId: number): boolean {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return false;
    if (session.pending) {
      session.earlyEnd = true;
      // Client: an end without an answer; HTTP/3 has told of it as aborted.
      return true;
    }
    this.#sessions.delete(sessionId);
    if (session.state === 'closed') return true;
    if (!session.betweenCapsules) {
      this.#cut(session, Http3ErrorCode.H3_MESSAGE_ERROR, 'the CONNECT stream ends within a capsule');
      return true;
    }
    this.#http3.sendData(sessionId, NOTHING, true);
    this.#over(session, 0, '', true);
    return true;
  }

  /** The CONNECT stream was reset, or was malformed. */
  aborted(sessionId: number, reason: string): boolean {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return false;
    if (session.pending && this.#quic.role === 'client') this.reject(sessionId, 0, reason);
    else this.#cut(session, Http3ErrorCode.H3_REQUEST_CANCELLED, reason);
    return true;
  }

  /** The peer reads no more of the CONNECT stream. */
  stopped(sessionId: number, code: number): boolean {
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return false;
    // A peer that closes may say so (draft-ietf-webtrans-http3 §6); its close capsule is on the way.
    const closing = code === WebTransportErrorCode.WT_SESSION_GONE || code === Http3ErrorCode.H3_NO_ERROR;
    if (session.state !== 'closed' && !closing)
      this.#cut(session, Http3ErrorCode.H3_REQUEST_CANCELLED, 'the peer stopped the CONNECT stream');
    return true;
  }

  datagram(sessionId: number, data: Uint8Array): void {
    const state = this.sessionState(sessionId);
    if (state === 'open') this.#emitDatagram(sessionId, data);
    if (state === 'open' || state === 'gone') return;
    const full =
      this.#datagrams.length >= MAX_BUFFERED_DATAGRAMS ||
      this.#datagramOctets + data.length > MAX_BUFFERED_DATAGRAM_OCTETS;
    if (full) return;
    this.#datagrams.push({ sessionId, data: data.slice() });
    this.#datagramOctets += data.length;
  }

  #emitDatagram(sessionId: number, data: Uint8Array): void {
    this.#emit({ type: 'datagram', sessionId, data });
  }

  #takeDatagrams(sessionId: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    const all = this.#datagrams.splice(0);
    for (const held of all) {
      if (held.sessionId !== sessionId) {
        this.#datagrams.push(held);
        continue;
      }
      taken.push(held.data);
      this.#datagramOctets -= held.data.length;
    }
    return taken;
  }

  /** Our own close. */
  close(sessionId: number, code: number, reason: string): void {
    const session = this.#sessions.get(sessionId);
    if (session === undefined || session.state === 'closed') return;
    if (session.pending) {
      this.#sessions.delete(sessionId);
      this.#http3.abort(sessionId, Http3ErrorCode.H3_REQUEST_CANCELLED);
    } else this.#http3.sendData(sessionId, encodeClose(code, reason), true);
    this.#over(session, code, reason, true);
  }

  drain(sessionId: number): void {
    const session = this.#sessions.get(sessionId);
    if (session?.state === 'open')
      this.#http3.sendData(sessionId, encodeCapsule(CapsuleType.DRAIN_SESSION, NOTHING));
  }

  /** Client: sessions that the server will not serve. */
  goAway(id: number): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.pending && this.#http3.refusedByGoAway(session.id, id))
        this.reject(session.id, 0, 'the server is going away');
    }
  }

  /** The QUIC connection is gone, and every session with it. */
  connectionLost(): void {
    for (const session of [...this.#sessions.values()]) {
      this.#sessions.delete(session.id);
      if (session.state !== 'closed') this.#over(session, 0, 'the connection was lost', false);
    }
    this.streams.clear();
    this.#datagrams.length = 0;
  }
}
