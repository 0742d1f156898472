import type { QuicTransport } from '../quic/index.ts';
import { Queue } from '../wire/index.ts';
import { BodyJoin } from './body-join.ts';
import { FieldSectionTooLargeError, Http3Error, Http3ErrorCode, Http3StreamError } from './errors.ts';
import type { Http3Event } from './events.ts';
import { FrameType } from './frames.ts';
import type { MessageStream } from './message-stream.ts';
import { MAX_FIELD_SECTION_OCTETS, type MessageTable } from './message-table.ts';
import { QpackDecoder } from './qpack/index.ts';

/** Octets taken from a request stream at a time. */
const READ_OCTETS = 16_384;
/** Octets taken from a tunnel at a time: each two of them may be a capsule, and so an event (RFC 9297 §3.2). */
const TUNNEL_READ_OCTETS = 4096;

/**
 * Makes events of what comes on request streams. While events of one read wait, no stream is read on, and QUIC's flow control
 * holds the peer; so at most one read's events wait for each stream that became readable.
 */
export class MessageReader {
  readonly #quic: QuicTransport;
  readonly #messages: MessageTable;
  readonly #events: Queue<Http3Event>;
  readonly #weAreServer: boolean;
  readonly #decoder = new QpackDecoder(0);
  readonly #body = new BodyJoin();
  /** Messages with octets that were not read, since events waited; each is here once. */
  readonly #unread = new Queue<MessageStream>();
  #closed = false;

  constructor(quic: QuicTransport, messages: MessageTable, events: Queue<Http3Event>) {
    this.#quic = quic;
    this.#messages = messages;
    this.#events = events;
    this.#weAreServer = quic.role === 'server';
  }

  /** The connection is closed: nothing is read any more. */
  close(): void {
    this.#closed = true;
    this.#unread.clear();
  }

  /** Octets wait that were not read. */
  get hasUnread(): boolean {
    return !this.#unread.isEmpty;
  }

  /** Reads on where octets wait longest. */
  readUnread(): void {
    const message = this.#unread.shift();
    if (message === undefined) return;
    message.unread = false;
    if (this.#messages.get(message.id) === message) this.read(message);
  }

  /** Reads a message until something came of it, or nothing is left. */
  read(message: MessageStream): void {
    if (!message.unread) this.#guarded(message, () => this.#read(message));
  }

  /** The peer's half of a message has ended. */
  end(message: MessageStream): void {
    this.#guarded(message, () => this.#end(message));
  }

  #read(message: MessageStream): void {
    while (!message.receiveDone && !this.#closed) {
      const chunk = this.#quic.readStream(message.id, message.tunnel ? TUNNEL_READ_OCTETS : READ_OCTETS);
      if (chunk === undefined) return;
      message.parser.push(chunk.data);
      this.#pieces(message, chunk.data.length);
      if (chunk.fin) this.#end(message);
      else if (!this.#events.isEmpty) {
        message.unread = true;
        this.#unread.push(message);
        return;
      }
    }
  }

  #pieces(message: MessageStream, octets: number): void {
    this.#body.take(); // of a read that a fault cut short
    for (let piece = message.parser.next(); piece !== undefined; piece = message.parser.next()) {
      if (piece.type === FrameType.HEADERS) {
        this.#tellBody(message);
        this.#section(message, piece.payload);
      } else {
        message.body(piece.payload.length);
        this.#body.add(piece.payload, octets);
      }
    }
    this.#tellBody(message);
  }

  #tellBody(message: MessageStream): void {
    const data = this.#body.take();
    if (data !== undefined) this.#events.push({ type: 'data', streamId: message.id, data });
  }

  #section(message: MessageStream, payload: Uint8Array): void {
    const streamId = message.id;
    const decoded = this.#decoder.decode(streamId, payload, MAX_FIELD_SECTION_OCTETS);
    if (decoded.kind === 'blocked') {
      // RFC 9204 §2.1.2: we allow no blocked streams.
      throw new Http3Error(
        Http3ErrorCode.QPACK_DECOMPRESSION_FAILED,
        'a blocked stream, where none is allowed',
      );
    }
    const head = message.section(decoded.fields);
    if (head.kind === 'other') return;
    message.announced = true;
    if (head.kind === 'request') this.#events.push({ type: 'request', streamId, request: head.request });
    else this.#events.push({ type: 'response', streamId, response: head.response });
  }

  #end(message: MessageStream): void {
    message.end();
    this.#events.push({ type: 'end', streamId: message.id });
    this.#messages.receiveDone(message);
  }

  /** Runs what reads a message; what is wrong with that message alone ends that message alone (RFC 9114 §4.1.2). */
  #guarded(message: MessageStream, read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof Http3StreamError)) throw error;
      if (error instanceof FieldSectionTooLargeError && this.#weAreServer && !message.announced) {
        this.#messages.stopReading(message.id, Http3ErrorCode.H3_NO_ERROR);
        this.#messages.sendHeaders(message.id, [[':status', '431']], true);
        return;
      }
      this.#messages.abort(message.id, error.code);
      if (message.announced || !this.#weAreServer) {
        const { code, message: reason } = error;
        this.#events.push({ type: 'aborted', streamId: message.id, code, reason, local: true });
      }
    }
  }
}
