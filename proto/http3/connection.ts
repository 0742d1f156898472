import type { QuicEvent, QuicTransport, StreamDirection } from '../quic/index.ts';
import { encodeVarint, LazyMap, Queue, Reader, varintLength, WireError, Writer } from '../wire/index.ts';
import { Http3Error, Http3ErrorCode } from './errors.ts';
import type { Http3Event } from './events.ts';
import type { Field } from './fields.ts';
import { encodeFrame, FrameType } from './frames.ts';
import { ENDED, PENDING, VarintIntake } from './intake.ts';
import { MessageReader } from './message-reader.ts';
import { MAX_FIELD_SECTION_OCTETS, MessageTable } from './message-table.ts';
import { RequestIds } from './request-ids.ts';
import { allowsDatagrams, encodeSettings, SettingId, type Settings } from './settings.ts';
import { StreamType, UniStreams } from './uni-streams.ts';

/** Above every priority that an application sets. */
const CONTROL_PRIORITY = 0x7fff_ffff;

/** First varints by which an extension claims streams for itself. */
export interface StreamSignals {
  readonly bidirectional: number;
  readonly unidirectional: number;
}

export interface Http3Options {
  /** Sent beside those that this layer sends itself. */
  readonly settings?: Settings;
  readonly signals?: StreamSignals;
}

/**
 * HTTP/3 over one QUIC connection, either role (RFC 9114). Feed every QUIC event to `handleEvent`, then take what came
 * of it with `poll`. What the peer does wrong ends in `quic.close`, never in an exception.
 *
 * Bodies are read as they are polled, so that a peer's octets wait under flow control and not as events.
 */
export class Http3Connection {
  readonly #quic: QuicTransport;
  readonly #weAreServer: boolean;
  /** Of the user, beside our own; until they were sent. */
  #settings: Settings | undefined;
  readonly #signals: StreamSignals | undefined;
  readonly #events = new Queue<Http3Event>();
  readonly #messages: MessageTable;
  readonly #reader: MessageReader;
  /** Bidirectional streams whose first varint is not whole yet; bounded by QUIC's stream limit. */
  readonly #intakes = new LazyMap<number, VarintIntake>();
  readonly #uni: UniStreams;
  readonly #requestIds: RequestIds;
  #peerSettings: Settings | undefined;
  #controlStreamId: number | undefined;
  #writable = false;
  #closed = false;
  /** One above the last client-initiated bidirectional stream that was opened, times four. */
  #nextPeerRequestId = 0;
  /** Requests from here on are refused, since we sent GOAWAY. */
  #goAwaySentId = Number.POSITIVE_INFINITY;
  #goAwayWanted = false;

  constructor(quic: QuicTransport, options: Http3Options = {}) {
    this.#quic = quic;
    this.#weAreServer = quic.role === 'server';
    this.#signals = options.signals;
    this.#requestIds = new RequestIds(quic);
    this.#messages = new MessageTable(quic, this.#requestIds, this.#signals?.bidirectional);
    this.#reader = new MessageReader(quic, this.#messages, this.#events);
    this.#uni = new UniStreams(quic, this.#signals, {
      onSettings: (settings) => {
        this.#peerSettings = settings;
        this.#events.push({ type: 'settings', settings });
      },
      onGoAway: (id) => this.#events.push({ type: 'goAway', id }),
      onSignalStream: (streamId, finished) =>
        this.#events.push({
          type: 'signalStream',
          streamId,
          direction: 'unidirectional',
          finished,
          stopCode: undefined,
        }),
    });
    this.#settings = options.settings;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** `undefined` until the peer's SETTINGS came. */
  get peerSettings(): Settings | undefined {
    return this.#peerSettings;
  }

  /** The next event. Reads on where octets wait, once no event does. */
  poll(): Http3Event | undefined {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (!this.#reader.hasUnread) return undefined;
      this.#checked(() => this.#reader.readUnread());
    }
  }

  /** The next event of what was read already. */
  pollWaiting(): Http3Event | undefined {
    return this.#events.shift();
  }

  handleEvent(event: QuicEvent): void {
    if (!this.#closed) this.#checked(() => this.#dispatch(event));
  }

  /** The one place where what the peer did wrong becomes a close. */
  #checked(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Http3Error)) throw error;
      this.fail(error.code, error.message);
    }
  }

  /** Ends the connection with an HTTP/3 error code. */
  fail(code: number, reason: string): void {
    if (this.#closed) return;
    this.#end();
    this.#quic.close(code, reason);
  }

  #end(): void {
    this.#closed = true;
    this.#intakes.clear();
    this.#messages.close();
    this.#reader.close();
  }

  #dispatch(event: QuicEvent): void {
    switch (event.type) {
      case 'writable':
        this.#writable = true;
        this.#start();
        return;
      case 'streamsAvailable':
        this.#start();
        return;
      case 'streamOpened':
        this.#streamOpened(event.streamId, event.direction);
        return;
      case 'streamReadable':
        this.#streamReadable(event.streamId);
        return;
      case 'streamReset':
        this.#streamReset(event.streamId, event.code);
        return;
      case 'streamStopped':
        this.#streamStopped(event.streamId, event.code);
        return;
      case 'streamFinished':
        this.#messages.sendDone(event.streamId);
        return;
      case 'datagram':
        this.#datagram(event.data);
        return;
      case 'closed':
        this.#end();
        return;
      default:
        return;
    }
  }

  /** Opens what could not be opened yet: the control stream first, then requests in their order. */
  #start(): void {
    if (!this.#writable) return;
    if (this.#controlStreamId === undefined) {
      this.#controlStreamId = this.#quic.openStream('unidirectional');
      if (this.#controlStreamId === undefined) return;
      const writer = Writer.growing(128).varint(StreamType.CONTROL);
      writer.bytes(encodeFrame(FrameType.SETTINGS, encodeSettings(ourSettings(this.#settings))));
      this.#settings = undefined;
      // Everything else waits for SETTINGS at the other end.
      this.#quic.setStreamPriority(this.#controlStreamId, CONTROL_PRIORITY);
      this.#quic.writeStream(this.#controlStreamId, writer.finish());
      if (this.#goAwayWanted) this.goAway();
    }
    this.#requestIds.openReserved();
  }

  #streamOpened(streamId: number, direction: StreamDirection): void {
    if (direction === 'unidirectional') {
      this.#uni.opened(streamId);
      return;
    }
    // RFC 9114 §6.1: a server opens bidirectional streams only where an extension says so.
    if (!this.#weAreServer && this.#signals === undefined)
      throw new Http3Error(
        Http3ErrorCode.H3_STREAM_CREATION_ERROR,
        'the server opened a bidirectional stream',
      );
    if (this.#weAreServer) this.#nextPeerRequestId = Math.max(this.#nextPeerRequestId, streamId + 4);
    this.#intakes.set(streamId, new VarintIntake());
  }

  #streamReadable(streamId: number): void {
    const intake = this.#intakes.get(streamId);
    if (intake !== undefined) {
      this.#firstVarint(streamId, intake);
      return;
    }
    const message = this.#messages.get(streamId);
    if (message !== undefined) this.#reader.read(message);
    else this.#uni.readable(streamId);
  }

  /** A bidirectional stream shows what it is by its first varint: the extension's signal, or a frame's type. */
  #firstVarint(streamId: number, intake: VarintIntake): void {
    const type = intake.take(this.#quic, streamId);
    if (type === PENDING) return;
    this.#intakes.delete(streamId);
    if (type !== ENDED && type === this.#signals?.bidirectional) {
      const { finished, stopCode } = intake;
      this.#events.push({ type: 'signalStream', streamId, direction: 'bidirectional', finished, stopCode });
      return;
    }
    if (!this.#weAreServer)
      throw new Http3Error(Http3ErrorCode.H3_STREAM_CREATION_ERROR, 'a server stream without a known signal');
    if (type === ENDED && intake.started)
      throw new Http3Error(Http3ErrorCode.H3_FRAME_ERROR, 'the stream ends within a frame');
    if (streamId >= this.#goAwaySentId) {
      // RFC 9114 §5.2: not processed in any way, so the client may send it elsewhere.
      this.#messages.cut(streamId, Http3ErrorCode.H3_REQUEST_REJECTED);
      return;
    }
    const message = this.#messages.add(streamId, '');
    if (type !== ENDED) message.parser.startFrame(type);
    if (intake.finished) this.#reader.end(message);
    else this.#reader.read(message);
    if (intake.stopCode !== undefined) this.#streamStopped(streamId, intake.stopCode);
  }

  #streamReset(streamId: number, code: number): void {
    if (this.#intakes.delete(streamId)) {
      this.#quic.resetStream(streamId, Http3ErrorCode.H3_REQUEST_CANCELLED);
      return;
    }
    const message = this.#messages.get(streamId);
    if (message === undefined) {
      this.#uni.reset(streamId);
      return;
    }
    if (message.receiveDone) return;
    if (message.announced || !this.#weAreServer) {
      this.#events.push({
        type: 'aborted',
        streamId,
        code,
        reason: 'the peer reset the stream',
        local: false,
      });
    } else this.#messages.cut(streamId, Http3ErrorCode.H3_REQUEST_CANCELLED);
    this.#messages.receiveDone(message);
  }

  #streamStopped(streamId: number, code: number): void {
    if (streamId === this.#controlStreamId)
      throw new Http3Error(Http3ErrorCode.H3_CLOSED_CRITICAL_STREAM, 'the peer stopped our control stream');
    const intake = this.#intakes.get(streamId);
    if (intake !== undefined) intake.stopCode = code;
    if (this.#messages.get(streamId) === undefined) return;
    this.#events.push({ type: 'stopped', streamId, code });
    this.#messages.sendDone(streamId);
  }

  /** RFC 9297 §2.1. */
  #datagram(datagram: Uint8Array): void {
    const reader = new Reader(datagram);
    let quarter: number;
    try {
      quarter = reader.varint();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      throw new Http3Error(Http3ErrorCode.H3_DATAGRAM_ERROR, 'a datagram ends within its quarter stream ID');
    }
    if (quarter >= 2 ** 60) throw new Http3Error(Http3ErrorCode.H3_DATAGRAM_ERROR, 'no such stream can be');
    this.#events.push({ type: 'datagram', streamId: quarter * 4, data: reader.rest() });
  }

  /**
   * Client: a request stream's ID, before anything is sent on it, and even before streams can be opened: what is sent
   * until then waits. `method` is what the request's head will say.
   */
  reserveRequest(method: string): number {
    const streamId = this.#requestIds.reserve();
    this.#messages.add(streamId, method);
    if (this.#writable) this.#start();
    return streamId;
  }

  /** Client: whether a GOAWAY that names `id` means that the request will not be served (RFC 9114 §5.2): those not sent never may. */
  refusedByGoAway(streamId: number, id: number): boolean {
    return streamId >= id || this.#requestIds.waits(streamId);
  }

  /** A stream for the extension. `undefined` while QUIC has none to give, or requests wait for theirs. */
  openStream(direction: StreamDirection): number | undefined {
    if (this.#closed || !this.#writable || this.#controlStreamId === undefined) return undefined;
    if (direction === 'bidirectional' && !this.#weAreServer) return this.#requestIds.open();
    return this.#quic.openStream(direction);
  }

  sendHeaders(streamId: number, fields: readonly Field[], fin = false): void {
    this.#messages.sendHeaders(streamId, fields, fin);
  }

  /** Sends a DATA frame. `data` must not be changed after. */
  sendData(streamId: number, data: Uint8Array, fin = false): void {
    this.#messages.sendData(streamId, data, fin);
  }

  /** Asks the peer to send no more of a message. */
  stopReading(streamId: number, code: number): void {
    this.#messages.stopReading(streamId, code);
  }

  /** Ends both directions of a message with an error code. */
  abort(streamId: number, code: number): void {
    this.#messages.abort(streamId, code);
  }

  /** Says that no further request is taken (RFC 9114 §5.2); those that came go on. */
  goAway(): void {
    if (this.#closed || this.#goAwaySentId !== Number.POSITIVE_INFINITY) return;
    this.#goAwayWanted = true;
    if (this.#controlStreamId === undefined) return;
    this.#goAwaySentId = this.#weAreServer ? this.#nextPeerRequestId : 0;
    this.#quic.writeStream(
      this.#controlStreamId,
      encodeFrame(FrameType.GOAWAY, encodeVarint(this.#goAwaySentId)),
    );
  }

  /** False when the peer takes no HTTP datagrams (yet), or QUIC cannot take this one. */
  sendDatagram(streamId: number, data: Uint8Array): boolean {
    if (this.#closed || !allowsDatagrams(this.#peerSettings)) return false;
    const quarter = streamId / 4;
    const writer = new Writer(new Uint8Array(varintLength(quarter) + data.length));
    return this.#quic.sendDatagram(writer.varint(quarter).bytes(data).finish());
  }

  /** Largest payload that `sendDatagram` takes for this stream, in octets. */
  maxDatagramOctets(streamId: number): number {
    if (this.#closed || !allowsDatagrams(this.#peerSettings)) return 0;
    return Math.max(0, this.#quic.maxDatagramOctets() - varintLength(streamId / 4));
  }
}

function ourSettings(ofUser: Settings | undefined): Settings {
  return new Map([
    [SettingId.QPACK_MAX_TABLE_CAPACITY, 0],
    [SettingId.QPACK_BLOCKED_STREAMS, 0],
    [SettingId.MAX_FIELD_SECTION_SIZE, MAX_FIELD_SECTION_OCTETS],
    ...(ofUser ?? []),
  ]);
}
