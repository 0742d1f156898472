import { Queue, type Writer } from '../../wire/index.ts';
import {
  writeDataBlocked,
  writeMaxData,
  writeMaxStreamData,
  writeMaxStreams,
  writeResetStream,
  writeResetStreamAt,
  writeStopSending,
  writeStreamDataBlocked,
  writeStreamsBlocked,
} from '../frames/index.ts';
import type { ConnectionFlow } from './flow.ts';
import { controlRetransmit, Sent, type StreamRetransmit, type StreamRetransmitSink } from './retransmit.ts';
import { hasRoom } from './room.ts';
import type { SendStream } from './send-stream.ts';
import { Control, type Stream } from './stream.ts';
import type { Kind, StreamTable } from './table.ts';

/** Writes the stream-related frames that carry no octets: flow control, resets, stream limits. */
export class ControlWriter {
  readonly #table: StreamTable;
  readonly #flow: ConnectionFlow;
  /** Streams with bits in `controls`, once each. */
  readonly #due = new Queue<Stream>();

  constructor(table: StreamTable, flow: ConnectionFlow) {
    this.#table = table;
    this.#flow = flow;
  }

  /** Makes a frame of a stream due. */
  add(stream: Stream, control: number): void {
    stream.controls |= control;
    if (stream.inControlQueue) return;
    stream.inControlQueue = true;
    this.#due.push(stream);
  }

  hasPending(): boolean {
    return this.#connectionPending() || this.#nextStream() !== undefined;
  }

  #connectionPending(): boolean {
    const { bidi, uni } = this.#table;
    const flow = this.#flow;
    return (
      flow.maxDataDue ||
      flow.blockedDue ||
      bidi.maxStreamsDue ||
      uni.maxStreamsDue ||
      bidi.blockedDue ||
      uni.blockedDue
    );
  }

  /** The next stream with a frame that still matters; others leave the queue. */
  #nextStream(): Stream | undefined {
    for (let stream = this.#due.peek(); stream; stream = this.#due.peek()) {
      stream.controls &= relevantControls(stream);
      if (stream.controls !== 0) return stream;
      this.#due.shift();
      stream.inControlQueue = false;
    }
    return undefined;
  }

  /** Writes what is due and fits. Returns whether it wrote anything. */
  write(writer: Writer, retransmits: StreamRetransmitSink): boolean {
    const before = writer.offset;
    if (this.#connectionPending()) this.#writeConnection(writer, retransmits);
    for (let stream = this.#nextStream(); stream; stream = this.#nextStream()) {
      this.#writeStream(stream, writer, retransmits);
      // No room for one of them: the next packet has.
      if (stream.controls !== 0) break;
    }
    return writer.offset > before;
  }

  #writeConnection(writer: Writer, retransmits: StreamRetransmitSink): void {
    const flow = this.#flow;
    if (flow.maxDataDue && hasRoom(writer, flow.localLimit)) {
      writeMaxData(writer, flow.localLimit);
      flow.maxDataDue = false;
      retransmits.push(controlRetransmit(Sent.MAX_DATA, 0, flow.localLimit));
    }
    if (flow.blockedDue && hasRoom(writer, flow.peerLimit)) {
      writeDataBlocked(writer, flow.peerLimit);
      flow.blockedDue = false;
      retransmits.push(controlRetransmit(Sent.DATA_BLOCKED, 0, flow.peerLimit));
    }
    this.#writeKind(this.#table.bidi, 0, writer, retransmits);
    this.#writeKind(this.#table.uni, 1, writer, retransmits);
  }

  #writeKind(kind: Kind, which: 0 | 1, writer: Writer, retransmits: StreamRetransmitSink): void {
    if (kind.maxStreamsDue && hasRoom(writer, kind.peerAllowed)) {
      writeMaxStreams(writer, which === 0, kind.peerAllowed);
      kind.maxStreamsDue = false;
      retransmits.push(controlRetransmit(Sent.MAX_STREAMS, which, kind.peerAllowed));
    }
    if (kind.blockedDue && hasRoom(writer, kind.allowed)) {
      writeStreamsBlocked(writer, which === 0, kind.allowed);
      kind.blockedDue = false;
      retransmits.push(controlRetransmit(Sent.STREAMS_BLOCKED, which, kind.allowed));
    }
  }

  #writeStream(stream: Stream, writer: Writer, retransmits: StreamRetransmitSink): void {
    const { id, send, recv } = stream;
    const has = (control: number) => (stream.controls & control) !== 0;
    const wrote = (control: number, what: Sent, limit: number) => {
      stream.controls &= ~control;
      retransmits.push(controlRetransmit(what, id, limit));
    };
    if (has(Control.RESET) && writeReset(writer, id, send!)) {
      wrote(Control.RESET, Sent.RESET_STREAM, send!.reliableSize);
    }
    if (has(Control.STOP) && hasRoom(writer, id, recv!.stopCode!)) {
      writeStopSending(writer, id, recv!.stopCode!);
      wrote(Control.STOP, Sent.STOP_SENDING, 0);
    }
    if (has(Control.MAX_STREAM_DATA) && hasRoom(writer, id, recv!.limit)) {
      writeMaxStreamData(writer, id, recv!.limit);
      wrote(Control.MAX_STREAM_DATA, Sent.MAX_STREAM_DATA, recv!.limit);
    }
    if (has(Control.STREAM_DATA_BLOCKED) && hasRoom(writer, id, send!.limit)) {
      writeStreamDataBlocked(writer, id, send!.limit);
      wrote(Control.STREAM_DATA_BLOCKED, Sent.STREAM_DATA_BLOCKED, send!.limit);
    }
  }

  /**
   * A packet with such a frame was acknowledged: what it said need not be said again, though it was taken for lost
   * (RFC 9000 §13.3).
   */
  onDelivered(retransmit: StreamRetransmit): void {
    const { what, start: limit } = retransmit;
    const flow = this.#flow;
    if (what === Sent.MAX_DATA) {
      if (limit === flow.localLimit) flow.maxDataDue = false;
    } else if (what === Sent.DATA_BLOCKED) {
      if (limit === flow.peerLimit) flow.blockedDue = false;
    } else if (what === Sent.MAX_STREAMS || what === Sent.STREAMS_BLOCKED) {
      const kind = retransmit.streamId === 0 ? this.#table.bidi : this.#table.uni;
      if (what === Sent.MAX_STREAMS && limit === kind.peerAllowed) kind.maxStreamsDue = false;
      if (what === Sent.STREAMS_BLOCKED && limit === kind.allowed) kind.blockedDue = false;
    } else {
      const stream = this.#table.get(retransmit.streamId);
      if (stream) onStreamDelivered(stream, what, limit);
    }
  }

  /** A packet with such a frame was lost: its present form becomes due, where it still matters (RFC 9000 §13.3). */
  onLost(retransmit: StreamRetransmit): void {
    const { what, start: limit } = retransmit;
    const flow = this.#flow;
    if (what === Sent.MAX_DATA) {
      // A newer one is on its way, or due.
      if (limit === flow.localLimit) flow.maxDataDue = true;
    } else if (what === Sent.DATA_BLOCKED) {
      if (limit === flow.peerLimit && flow.credit === 0) flow.blockedDue = true;
    } else if (what === Sent.MAX_STREAMS || what === Sent.STREAMS_BLOCKED) {
      const kind = retransmit.streamId === 0 ? this.#table.bidi : this.#table.uni;
      if (what === Sent.MAX_STREAMS && limit === kind.peerAllowed) kind.maxStreamsDue = true;
      if (what === Sent.STREAMS_BLOCKED && limit === kind.allowed && kind.wanted) kind.blockedDue = true;
    } else {
      const stream = this.#table.get(retransmit.streamId);
      if (stream) this.#onStreamLost(stream, what, limit);
    }
  }

  #onStreamLost(stream: Stream, what: Sent, limit: number): void {
    if (what === Sent.RESET_STREAM) {
      if (limit === stream.send?.reliableSize) this.add(stream, Control.RESET);
    } else if (what === Sent.STOP_SENDING) this.add(stream, Control.STOP);
    else if (what === Sent.MAX_STREAM_DATA) {
      if (limit === stream.recv?.limit) this.add(stream, Control.MAX_STREAM_DATA);
    } else if (limit === stream.send?.limit) this.add(stream, Control.STREAM_DATA_BLOCKED);
  }
}

function onStreamDelivered(stream: Stream, what: Sent, limit: number): void {
  if (what === Sent.STOP_SENDING) stream.controls &= ~Control.STOP;
  else if (what === Sent.MAX_STREAM_DATA) {
    if (limit === stream.recv?.limit) stream.controls &= ~Control.MAX_STREAM_DATA;
  } else if (limit === stream.send?.limit) stream.controls &= ~Control.STREAM_DATA_BLOCKED;
}

/** RESET_STREAM where nothing is delivered any more, as every peer takes it; else RESET_STREAM_AT (RESET_STREAM_AT draft §5). False without room. */
function writeReset(writer: Writer, id: number, send: SendStream): boolean {
  const { resetCode, sentOctets, reliableSize } = send;
  if (!hasRoom(writer, id, resetCode!, sentOctets, reliableSize === 0 ? undefined : reliableSize))
    return false;
  if (reliableSize === 0) writeResetStream(writer, id, resetCode!, sentOctets);
  else writeResetStreamAt(writer, id, resetCode!, sentOctets, reliableSize);
  return true;
}

/** The frames that still mean something to the peer. */
function relevantControls(stream: Stream): number {
  const { send, recv } = stream;
  let mask = 0;
  if (send?.resetReady) mask |= Control.RESET;
  if (send?.blockedByStream) mask |= Control.STREAM_DATA_BLOCKED;
  if (recv && !recv.done && !recv.sizeKnown) {
    mask |= recv.stopCode === undefined ? Control.MAX_STREAM_DATA : Control.STOP;
  }
  return mask;
}
