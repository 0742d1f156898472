import { ENDED, Http3Error, Http3ErrorCode, type Http3Event, PENDING, VarintIntake } from '../http3/index.ts';
import type { QuicEvent, QuicTransport, StreamDirection } from '../quic/index.ts';
import { Writer } from '../wire/index.ts';
import { fromHttpCode, STREAM_SIGNALS, toHttpCode, WebTransportErrorCode } from './codes.ts';
import type { UnreadStream, WebTransportEvent } from './events.ts';

/**
 * Streams that may wait for their session (draft-ietf-webtrans-http3 §4.6). Their data stays in QUIC's flow control
 * window, so one costs about a hundred octets here.
 */
const MAX_BUFFERED_STREAMS = 64;

export interface StreamHost {
  sessionState(sessionId: number): 'open' | 'pending' | 'unknown' | 'gone';
  emit(event: WebTransportEvent): void;
}

interface DataStream {
  readonly id: number;
  readonly direction: StreamDirection;
  sessionId: number;
  /** Reads the session ID; `undefined` once it is known. */
  intake: VarintIntake | undefined;
  /** The owner knows it. */
  announced: boolean;
  receiveDone: boolean;
  sendDone: boolean;
  /** Octets we wrote, the head included. */
  writtenOctets: number;
  /** Octets that the peer gets although we reset the stream: the head, and what the owner committed to. */
  reliableOctets: number;
  /** It ended with its head: the owner is yet to be told so by a read. */
  emptyEnd: boolean;
  /** RESET_STREAM or STOP_SENDING that came while it waited for its session. */
  pendingReset: number | undefined;
  pendingStop: number | undefined;
}

/** The data streams of all sessions of a connection. */
export class DataStreams {
  readonly #quic: QuicTransport;
  readonly #host: StreamHost;
  readonly #streams = new Map<number, DataStream>();
  #buffered = 0;

  constructor(quic: QuicTransport, host: StreamHost) {
    this.#quic = quic;
    this.#host = host;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** A stream that the peer opened and that began with the signal. Throws `Http3Error` H3_ID_ERROR. */
  incoming(signal: Extract<Http3Event, { type: 'signalStream' }>): void {
    const { streamId, direction, finished, stopCode } = signal;
    const stream: DataStream = {
      id: streamId,
      direction,
      sessionId: -1,
      intake: new VarintIntake(),
      announced: false,
      receiveDone: false,
      sendDone: direction === 'unidirectional',
      writtenOctets: 0,
      reliableOctets: 0,
      emptyEnd: false,
      pendingReset: undefined,
      pendingStop: stopCode,
    };
    this.#streams.set(streamId, stream);
    if (finished) this.#drop(stream, WebTransportErrorCode.WT_BUFFERED_STREAM_REJECTED, false);
    else this.#readSessionId(stream);
  }

  /** A stream that we opened: writes its head. */
  outgoing(streamId: number, direction: StreamDirection, sessionId: number): void {
    const head = new Writer(new Uint8Array(16)).varint(STREAM_SIGNALS[direction]).varint(sessionId).finish();
    this.#streams.set(streamId, {
      id: streamId,
      direction,
      sessionId,
      intake: undefined,
      announced: true,
      receiveDone: direction === 'unidirectional',
      sendDone: false,
      writtenOctets: head.length,
      // draft-ietf-webtrans-http3 §4.4: a reset delivers the head, so that the peer knows whose stream it was.
      reliableOctets: head.length,
      emptyEnd: false,
      pendingReset: undefined,
      pendingStop: undefined,
    });
    this.#quic.writeStream(streamId, head);
  }

  #readSessionId(stream: DataStream): void {
    const { intake } = stream;
    if (intake === undefined) return;
    const sessionId = intake.take(this.#quic, stream.id);
    if (sessionId === PENDING) return;
    stream.intake = undefined;
    if (sessionId === ENDED) {
      this.#drop(stream, WebTransportErrorCode.WT_BUFFERED_STREAM_REJECTED, false);
      return;
    }
    // draft-ietf-webtrans-http3 §4: a session's ID is that of a client's bidirectional stream.
    if (sessionId % 4 !== 0)
      throw new Http3Error(Http3ErrorCode.H3_ID_ERROR, `stream ${stream.id} names session ${sessionId}`);
    stream.sessionId = sessionId;
    stream.emptyEnd = intake.finished;
    this.#associate(stream);
  }

  #associate(stream: DataStream): void {
    const state = this.#host.sessionState(stream.sessionId);
    if (state === 'open') {
      this.#announce(stream);
    } else if (state === 'gone') {
      this.#drop(stream, WebTransportErrorCode.WT_SESSION_GONE, !stream.emptyEnd);
    } else if (this.#buffered >= MAX_BUFFERED_STREAMS) {
      this.#drop(stream, WebTransportErrorCode.WT_BUFFERED_STREAM_REJECTED, !stream.emptyEnd);
    } else this.#buffered++;
  }

  #announce(stream: DataStream): void {
    const { id: streamId, sessionId, direction } = stream;
    stream.announced = true;
    this.#host.emit({ type: 'streamOpened', sessionId, streamId, direction });
    if (stream.pendingStop !== undefined) this.#stopped(stream, stream.pendingStop);
    if (stream.pendingReset !== undefined) this.#reset(stream, stream.pendingReset);
    else this.#host.emit({ type: 'streamReadable', sessionId, streamId });
  }

  /** Ends a stream that the owner does not know of, or may no longer use. */
  #drop(stream: DataStream, code: number, stop = !stream.receiveDone): void {
    this.#streams.delete(stream.id);
    if (!stream.sendDone) this.#quic.resetStream(stream.id, code, stream.reliableOctets);
    if (stop) this.#quic.stopSending(stream.id, code);
  }

  /** The session was accepted: hands out what waited for it. */
  sessionOpened(sessionId: number): void {
    for (const stream of this.#streams.values()) {
      if (stream.announced || stream.intake !== undefined || stream.sessionId !== sessionId) continue;
      this.#buffered--;
      this.#announce(stream);
    }
  }

  /**
   * The session ended, or will not be: all its streams end with `code` (draft-ietf-webtrans-http3 §6). Gives what had arrived of
   * them and was not read: it came before the end, as often as not in one packet with it.
   */
  sessionGone(sessionId: number, code: number): UnreadStream[] {
    const unread: UnreadStream[] = [];
    for (const stream of this.#streams.values()) {
      if (stream.sessionId !== sessionId) continue;
      if (!stream.announced) this.#buffered--;
      for (
        let more = this.read(stream.id, undefined);
        more !== undefined;
        more = this.read(stream.id, undefined)
      ) {
        unread.push({ streamId: stream.id, ...more });
        if (more.fin) break;
      }
      this.#drop(stream, code);
    }
    return unread;
  }

  /** The connection is gone, and all streams with it. */
  clear(): void {
    this.#streams.clear();
    this.#buffered = 0;
  }

  /** Takes a QUIC event about one of these streams; false when it is about none. Throws `Http3Error`. */
  handle(event: QuicEvent): boolean {
    if (!('streamId' in event)) return false;
    const stream = this.#streams.get(event.streamId);
    if (stream === undefined) return false;
    const { id: streamId, sessionId } = stream;
    switch (event.type) {
      case 'streamReadable':
        if (stream.intake !== undefined) this.#readSessionId(stream);
        else if (stream.announced && !stream.receiveDone)
          this.#host.emit({ type: 'streamReadable', sessionId, streamId });
        return true;
      case 'streamWritable':
        if (stream.announced) this.#host.emit({ type: 'streamWritable', sessionId, streamId });
        return true;
      case 'streamFinished':
        this.#host.emit({ type: 'streamFinished', sessionId, streamId });
        stream.sendDone = true;
        this.#forgetWhenDone(stream);
        return true;
      case 'streamReset':
        this.#reset(stream, event.code);
        return true;
      case 'streamStopped':
        this.#stopped(stream, event.code);
        return true;
      default:
        return true;
    }
  }

  #reset(stream: DataStream, httpCode: number): void {
    if (stream.intake !== undefined) {
      // Which session it was of will never be known.
      this.#drop(stream, WebTransportErrorCode.WT_BUFFERED_STREAM_REJECTED, false);
      return;
    }
    if (!stream.announced) {
      stream.pendingReset = httpCode;
      return;
    }
    if (stream.receiveDone) return;
    stream.receiveDone = true;
    const { id: streamId, sessionId } = stream;
    this.#host.emit({ type: 'streamReset', sessionId, streamId, code: fromHttpCode(httpCode) });
    this.#forgetWhenDone(stream);
  }

  #stopped(stream: DataStream, httpCode: number): void {
    if (!stream.announced) {
      stream.pendingStop = httpCode;
      return;
    }
    if (stream.sendDone) return;
    stream.sendDone = true;
    const { id: streamId, sessionId } = stream;
    this.#host.emit({ type: 'streamStopped', sessionId, streamId, code: fromHttpCode(httpCode) });
    this.#forgetWhenDone(stream);
  }

  #forgetWhenDone(stream: DataStream): void {
    if (stream.receiveDone && stream.sendDone) this.#streams.delete(stream.id);
  }

  write(streamId: number, data: Uint8Array, fin: boolean): void {
    const stream = this.#streams.get(streamId);
    if (!stream?.announced || stream.sendDone) return;
    stream.writtenOctets += data.length;
    this.#quic.writeStream(streamId, data, fin);
  }

  /** What was written so far is delivered even when the stream is reset later. */
  commit(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) stream.reliableOctets = stream.writtenOctets;
  }

  bufferedOctets(streamId: number): number {
    const stream = this.#streams.get(streamId);
    return stream === undefined || stream.sendDone ? 0 : this.#quic.streamBufferedOctets(streamId);
  }

  read(
    streamId: number,
    maxOctets: number | undefined,
  ): { readonly data: Uint8Array; readonly fin: boolean } | undefined {
    const stream = this.#streams.get(streamId);
    if (!stream?.announced || stream.receiveDone) return undefined;
    const chunk = stream.emptyEnd
      ? { data: new Uint8Array(0), fin: true }
      : this.#quic.readStream(streamId, maxOctets);
    if (chunk?.fin) {
      stream.receiveDone = true;
      this.#forgetWhenDone(stream);
    }
    return chunk;
  }

  reset(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (!stream?.announced || stream.sendDone) return;
    this.#quic.resetStream(streamId, toHttpCode(code), stream.reliableOctets);
    stream.sendDone = true;
    this.#forgetWhenDone(stream);
  }

  stop(streamId: number, code: number): void {
    const stream = this.#streams.get(streamId);
    if (!stream?.announced || stream.receiveDone) return;
    this.#quic.stopSending(streamId, toHttpCode(code));
    stream.receiveDone = true;
    this.#forgetWhenDone(stream);
  }

  prioritise(streamId: number, priority: number): void {
    if (this.#streams.has(streamId)) this.#quic.setStreamPriority(streamId, priority);
  }
}
