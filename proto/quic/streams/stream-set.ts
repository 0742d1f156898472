import { LazySet, Queue, type Writer } from '../../wire/index.ts';
import type { QuicEvent } from '../events.ts';
import { FrameType } from '../frames/index.ts';
import type { StreamDirection } from '../types.ts';
import { ControlWriter } from './control-writer.ts';
import { ConnectionFlow } from './flow.ts';
import type { StreamRead } from './recv-stream.ts';
import { Sent, type StreamRetransmit, type StreamRetransmitSink } from './retransmit.ts';
import { Scheduler } from './scheduler.ts';
import { Control, type Stream } from './stream.ts';
import { checkStreamCount, type StreamLimits, StreamTable } from './table.ts';

/** `streamWritable` is given when octets that wait fall to this many, having been above. */
const LOW_WATER_OCTETS = 65_536;

export interface StreamSetOptions {
  readonly role: 'client' | 'server';
  /** What our transport parameters offer to the peer. */
  readonly local: StreamLimits;
  /** `streamWritable` is given when waiting octets fall to this; 64 KiB when absent. */
  readonly lowWaterOctets?: number;
}

export type StreamEvent = Extract<
  QuicEvent,
  {
    type:
      | 'streamOpened'
      | 'streamReadable'
      | 'streamWritable'
      | 'streamFinished'
      | 'streamReset'
      | 'streamStopped'
      | 'streamsAvailable';
  }
>;

/**
 * All streams of a connection: the application's calls, the peer's frames, the frames that are due, and their fate.
 * Memory is bounded by the limits offered to the peer; what the application writes it must bound itself, by
 * `streamBufferedOctets`.
 */
export class StreamSet {
  readonly #table: StreamTable;
  readonly #flow: ConnectionFlow;
  readonly #controls: ControlWriter;
  readonly #scheduler = new Scheduler();
  /** Streams that only the connection's limit holds back. */
  readonly #starved = new LazySet<Stream>();
  /** Streams that their own limit holds back. */
  readonly #limited = new LazySet<Stream>();
  readonly #events = new Queue<StreamEvent>();
  readonly #lowWaterOctets: number;

  constructor(options: StreamSetOptions) {
    this.#lowWaterOctets = options.lowWaterOctets ?? LOW_WATER_OCTETS;
    this.#flow = new ConnectionFlow(options.local.initialMaxData);
    this.#table = new StreamTable(options.role, options.local, (stream, direction) => {
      this.#events.push({ type: 'streamOpened', streamId: stream.id, direction });
    });
    this.#controls = new ControlWriter(this.#table, this.#flow);
  }

  /** Streams that are open. */
  get openStreams(): number {
    return this.#table.size;
  }

  /** Streams that are open and that the peer opened. */
  get peerStreams(): number {
    return this.#table.peerSize;
  }

  /** Octets that open streams keep: written and not acknowledged, and received and not read. */
  heldOctets(): { readonly sending: number; readonly receiving: number } {
    let sending = 0;
    let receiving = 0;
    for (const { send, recv } of this.#table.all()) {
      sending += send?.heldOctets ?? 0;
      receiving += recv?.heldOctets ?? 0;
    }
    return { sending, receiving };
  }

  /** The peer's transport parameters came (or remembered ones, for 0-RTT). Limits only rise (RFC 9000 §7.4.1). */
  setPeerLimits(limits: StreamLimits): void {
    const raised = this.#table.setPeerLimits(limits);
    this.#raiseStreams(this.#table.bidi, limits.initialMaxStreamsBidi, 0, false);
    this.#raiseStreams(this.#table.uni, limits.initialMaxStreamsUni, 0, false);
    for (const stream of raised) this.#schedule(stream);
    this.onMaxData(limits.initialMaxData);
  }

  poll(): StreamEvent | undefined {
    return this.#events.shift();
  }

  // The application's calls, as QuicTransport has them.

  openStream(direction: StreamDirection): number | undefined {
    return this.#table.open(direction)?.id;
  }

  /** Throws `UsageError` when the stream has no sending half, was never opened, or was ended by `fin`. */
  writeStream(streamId: number, data: Uint8Array, fin = false): void {
    const stream = this.#table.owned(streamId);
    if (!stream) return;
    const send = this.#table.sendingHalf(stream);
    send.write(data, fin);
    if (send.bufferedOctets > this.#lowWaterOctets) send.aboveLowWater = true;
    this.#schedule(stream);
  }

  streamBufferedOctets(streamId: number): number {
    return this.#table.owned(streamId)?.send?.bufferedOctets ?? 0;
  }

  /** Throws `UsageError` when the stream has no receiving half or was never opened. */
  readStream(streamId: number, maxOctets?: number): StreamRead | undefined {
    const stream = this.#table.owned(streamId);
    if (!stream) return undefined;
    const recv = this.#table.receivingHalf(stream);
    const read = recv.read(maxOctets);
    if (!read) {
      stream.readableTold = false;
      return undefined;
    }
    if (recv.raiseLimit()) this.#controls.add(stream, Control.MAX_STREAM_DATA);
    this.#tellReset(stream);
    this.#settleReceiving(stream);
    return read;
  }

  /**
   * Resets our half. Its first `reliableOctets` are delivered all the same, if the peer takes RESET_STREAM_AT; a later call may
   * lower their number. Throws `UsageError` when the stream has no sending half or was never opened.
   */
  resetStream(streamId: number, code: number, reliableOctets = 0): void {
    const stream = this.#table.owned(streamId);
    if (stream) this.#reset(stream, code, reliableOctets);
  }

  stopSending(streamId: number, code: number): void {
    const stream = this.#table.owned(streamId);
    if (!stream) return;
    if (this.#table.receivingHalf(stream).stop(code)) this.#controls.add(stream, Control.STOP);
    this.#settleReceiving(stream);
  }

  setStreamPriority(streamId: number, priority: number): void {
    const stream = this.#table.owned(streamId);
    if (!stream || stream.priority === priority) return;
    stream.priority = priority;
    if (stream.queuedAt === undefined) return;
    this.#scheduler.remove(stream);
    this.#scheduler.add(stream);
  }

  // Frames of the peer. Each throws `TransportError`; frames for streams that are over are ignored.

  /** STREAM (RFC 9000 §19.8). `data` is copied. */
  onStream(streamId: number, offset: number, data: Uint8Array, fin: boolean): void {
    const stream = this.#table.named(streamId, 'recv', FrameType.STREAM);
    const recv = stream?.recv;
    if (!stream || !recv || recv.done) return;
    const growth = recv.growthTo(offset + data.length, fin, FrameType.STREAM);
    if (growth > 0) this.#flow.onReceived(growth, FrameType.STREAM);
    recv.receive(offset, data, fin);
    if (recv.readable && !stream.readableTold) {
      stream.readableTold = true;
      this.#events.push({ type: 'streamReadable', streamId });
    }
    // Only octets that the application refused are settled here; the others when they are read.
    if (recv.stopCode !== undefined) this.#settleReceiving(stream);
  }

  /** RESET_STREAM (RFC 9000 §19.4), or with a reliable size RESET_STREAM_AT (RESET_STREAM_AT draft §4). */
  onResetStream(streamId: number, code: number, finalSize: number, reliableSize?: number): void {
    const frameType = reliableSize === undefined ? FrameType.RESET_STREAM : FrameType.RESET_STREAM_AT;
    const stream = this.#table.named(streamId, 'recv', frameType);
    const recv = stream?.recv;
    if (!stream || !recv || recv.done) return;
    const growth = recv.growthTo(finalSize, true, frameType);
    this.#flow.onReceived(growth, frameType);
    recv.reset(code, finalSize, reliableSize ?? 0, frameType);
    this.#tellReset(stream);
    this.#settleReceiving(stream);
  }

  /** The reset shows once all that it delivers was read. */
  #tellReset({ id: streamId, recv }: Stream): void {
    if (!recv?.done || recv.resetCode === undefined) return;
    this.#events.push({ type: 'streamReset', streamId, code: recv.resetCode });
  }

  /**
   * STOP_SENDING (RFC 9000 §19.5): answered with RESET_STREAM and the same code (§3.5), as the peer wants nothing of the stream
   * (RESET_STREAM_AT draft §5.4).
   */
  onStopSending(streamId: number, code: number): void {
    const stream = this.#table.named(streamId, 'send', FrameType.STOP_SENDING);
    if (!stream) return;
    const wasReset = stream.send?.resetCode !== undefined;
    if (this.#reset(stream, code, 0) && !wasReset)
      this.#events.push({ type: 'streamStopped', streamId, code });
  }

  onMaxData(maximum: number): void {
    if (!this.#flow.raisePeerLimit(maximum)) return;
    const starved = [...this.#starved];
    this.#starved.clear();
    for (const stream of starved) this.#schedule(stream);
  }

  onMaxStreamData(streamId: number, maximum: number): void {
    const stream = this.#table.named(streamId, 'send', FrameType.MAX_STREAM_DATA);
    if (!stream?.send?.raiseLimit(maximum)) return;
    stream.controls &= ~Control.STREAM_DATA_BLOCKED;
    this.#limited.delete(stream);
    this.#schedule(stream);
  }

  onMaxStreams(direction: StreamDirection, maximum: number): void {
    const kind = this.#table.kind(direction);
    const bidi = direction === 'bidirectional';
    const type = bidi ? FrameType.MAX_STREAMS_BIDI : FrameType.MAX_STREAMS_UNI;
    this.#raiseStreams(kind, maximum, type, true);
  }

  #raiseStreams(kind: StreamTable['bidi'], maximum: number, frameType: number, tell: boolean): void {
    const wanted = kind.wanted;
    if (kind.allow(maximum, frameType) && (tell || wanted)) {
      this.#events.push({ type: 'streamsAvailable', direction: kind.direction });
    }
  }

  /** DATA_BLOCKED says nothing that reading would not: credit follows what the application takes. */
  onDataBlocked(_limit: number): void {}

  onStreamDataBlocked(streamId: number, _limit: number): void {
    this.#table.named(streamId, 'recv', FrameType.STREAM_DATA_BLOCKED);
  }

  onStreamsBlocked(direction: StreamDirection, limit: number): void {
    const bidi = direction === 'bidirectional';
    checkStreamCount(limit, bidi ? FrameType.STREAMS_BLOCKED_BIDI : FrameType.STREAMS_BLOCKED_UNI);
    this.#table.kind(direction).onPeerBlocked();
  }

  // Sending.

  /** Whether `writeFrames` has something to write, given room. */
  hasPending(): boolean {
    return this.#controls.hasPending() || this.#nextSender() !== undefined;
  }

  /** Octets wait that only flow control of the peer holds back. */
  get isBlocked(): boolean {
    return this.#starved.size > 0 || this.#limited.size > 0;
  }

  /** Says again that it is so, of one stream at most: the peer is to know that the connection is not idle (RFC 9000 §4.1). */
  queueBlockedFrames(): void {
    for (const stream of this.#limited) {
      if (stream.send?.blockedByStream) {
        this.#controls.add(stream, Control.STREAM_DATA_BLOCKED);
        return;
      }
      this.#limited.delete(stream);
    }
    this.#flow.repeatBlocked(this.#starved.size > 0);
  }

  /** Whose turn it is, among those that can send; others leave the queue. */
  #nextSender(): Stream | undefined {
    for (;;) {
      const stream = this.#scheduler.first();
      if (!stream || stream.send?.canSend(this.#flow.credit)) return stream;
      this.#scheduler.shift();
      this.#schedule(stream);
    }
  }

  /**
   * Writes frames that are due within `writer.remaining` and gives what they mean to `retransmits`. Returns whether it wrote any; all
   * of them are ack-eliciting.
   */
  writeFrames(writer: Writer, retransmits: StreamRetransmitSink): boolean {
    let wrote = this.#controls.write(writer, retransmits);
    for (let stream = this.#nextSender(); stream; stream = this.#nextSender()) {
      const send = stream.send!;
      const before = send.sentOctets;
      const retransmit = send.writeFrame(writer, this.#flow.credit);
      if (!retransmit) break;
      this.#flow.onSent(send.sentOctets - before);
      retransmits.push(retransmit);
      wrote = true;
      // To the end of its priority's turn.
      this.#scheduler.shift();
      this.#schedule(stream);
      if (send.sentOctets > before && send.resetReady) this.#controls.add(stream, Control.RESET);
      if (send.aboveLowWater && send.bufferedOctets <= this.#lowWaterOctets) {
        send.aboveLowWater = false;
        this.#events.push({ type: 'streamWritable', streamId: stream.id });
      }
    }
    // What waits for credit now is known; the peer is told once per limit.
    if (this.#controls.hasPending() && this.#controls.write(writer, retransmits)) wrote = true;
    return wrote;
  }

  /** A packet was acknowledged that had this. */
  onDelivered(retransmit: StreamRetransmit): void {
    const stream = this.#table.get(retransmit.streamId);
    if (retransmit.what === Sent.STREAM) {
      if (!stream?.send?.onDelivered(retransmit.start, retransmit.end, retransmit.fin)) return;
      if (stream.send.resetCode === undefined)
        this.#events.push({ type: 'streamFinished', streamId: stream.id });
      this.#forgetIfDone(stream);
    } else if (retransmit.what === Sent.RESET_STREAM) {
      if (stream?.send?.onResetDelivered(retransmit.start)) this.#forgetIfDone(stream);
    } else this.#controls.onDelivered(retransmit);
  }

  /** A packet was lost that had this: what still matters of it becomes due again (RFC 9000 §13.3). */
  onLost(retransmit: StreamRetransmit): void {
    if (retransmit.what !== Sent.STREAM) {
      this.#controls.onLost(retransmit);
      return;
    }
    const stream = this.#table.get(retransmit.streamId);
    if (!stream?.send) return;
    stream.send.onLost(retransmit.start, retransmit.end, retransmit.fin);
    this.#schedule(stream);
  }

  /** Puts the stream where it belongs: to the senders, to those that wait for credit, or nowhere. */
  #schedule(stream: Stream): void {
    const send = stream.send;
    if (!send || stream.queuedAt !== undefined) return;
    if (send.canSend(this.#flow.credit)) {
      this.#scheduler.add(stream);
    } else if (send.blockedByStream) {
      this.#limited.add(stream);
      if (send.blockedAt === send.limit) return;
      send.blockedAt = send.limit;
      this.#controls.add(stream, Control.STREAM_DATA_BLOCKED);
    } else if (send.hasUnsent) {
      this.#starved.add(stream);
      this.#flow.noteBlocked();
    }
  }

  #reset(stream: Stream, code: number, reliableOctets: number): boolean {
    const send = this.#table.sendingHalf(stream);
    if (!send.reset(code, this.#table.peerTakesResetAt ? reliableOctets : 0)) return false;
    this.#scheduler.remove(stream);
    this.#starved.delete(stream);
    this.#limited.delete(stream);
    // What is still delivered goes first.
    if (send.resetReady) this.#controls.add(stream, Control.RESET);
    this.#schedule(stream);
    return true;
  }

  #settleReceiving(stream: Stream): void {
    const credit = stream.recv?.takeCredit() ?? 0;
    if (credit > 0) this.#flow.onConsumed(credit);
    this.#forgetIfDone(stream);
  }

  #forgetIfDone(stream: Stream): void {
    if (stream.done) this.#table.forget(stream);
  }
}
