import type { Writer } from '../../wire/index.ts';
import { RangeSet } from '../ack/index.ts';
import { UsageError } from '../errors.ts';
import { writeStreamHeader } from '../frames/index.ts';
import { Sent, type StreamRetransmit } from './retransmit.ts';
import { streamFrameCapacity } from './room.ts';

/** Acknowledged chunks at the front that wait for one common removal. */
const COMPACT_CHUNKS = 64;
const EMPTY = new Uint8Array(0);

/**
 * The sending half of a stream (RFC 9000 §3.1). It keeps the caller's chunks, without copying them, until they are
 * acknowledged, and remembers which offsets were lost, not which frames.
 */
export class SendStream {
  readonly #streamId: number;
  #chunks: Uint8Array[] = [];
  /** Offset of the first octet of each chunk. */
  #chunkStarts: number[] = [];
  /** First chunk that is not acknowledged as a whole. */
  #firstChunk = 0;
  /** Chunk of `#next`, so that sending in order needs no search. */
  #cursor = 0;
  /** Octets written by the application so far. */
  #written = 0;
  /** First offset that was never sent. */
  #next = 0;
  /** MAX_STREAM_DATA of the peer. */
  #limit: number;
  readonly #acked = new RangeSet();
  readonly #lost = new RangeSet();
  #finWritten = false;
  #finDue = false;
  #finAcked = false;
  #resetCode: number | undefined;
  /** Octets from the beginning that are delivered although the stream was reset (RESET_STREAM_AT draft §5). */
  #reliableSize = 0;
  /** The reset that names the smallest reliable size was acknowledged. */
  #resetAcked = false;
  /** All was acknowledged, or the reset and all that it still delivers: a terminal state. */
  done = false;
  /** More octets than the low-water mark wait, or have waited since `streamWritable` was given. */
  aboveLowWater = false;
  /** Limit that STREAM_DATA_BLOCKED was last due for. */
  blockedAt = -1;

  constructor(streamId: number, limit: number) {
    this.#streamId = streamId;
    this.#limit = limit;
  }

  /** Octets that are to be sent: what was written, or after a reset what is reliable. */
  #end(): number {
    return this.#resetCode === undefined ? this.#written : this.#reliableSize;
  }

  /** Octets to be sent and never sent so far. */
  get bufferedOctets(): number {
    return Math.max(0, this.#end() - this.#next);
  }

  /** Octets written and kept, since they are not acknowledged from the beginning on. */
  get heldOctets(): number {
    return this.done ? 0 : Math.max(0, this.#end() - this.#settledOctets());
  }

  get limit(): number {
    return this.#limit;
  }

  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  get reliableSize(): number {
    return this.#reliableSize;
  }

  /**
   * A frame of the reset may go and matters. All that is reliable goes before it: so the final size is within flow control
   * whenever the frame is sent (RESET_STREAM_AT draft §4).
   */
  get resetReady(): boolean {
    return this.#resetCode !== undefined && !this.done && !this.#resetAcked && !this.hasUnsent;
  }

  /** Octets sent at least once; once the reset is told, the final size (RFC 9000 §4.5). */
  get sentOctets(): number {
    return this.#next;
  }

  /** Takes data without copying. Throws `UsageError` after the end was written. */
  write(data: Uint8Array, fin: boolean): void {
    if (this.#resetCode !== undefined) return;
    if (this.#finWritten) {
      throw new UsageError(`stream ${this.#streamId} was ended already: write nothing after fin`);
    }
    if (data.length > 0) {
      this.#chunks.push(data);
      this.#chunkStarts.push(this.#written);
      this.#written += data.length;
    }
    if (fin) {
      this.#finWritten = true;
      this.#finDue = true;
    }
  }

  /** Returns whether the limit rose. */
  raiseLimit(limit: number): boolean {
    if (limit <= this.#limit) return false;
    this.#limit = limit;
    return true;
  }

  /** Whether a frame can be written when the connection lets `credit` new octets go. */
  canSend(credit: number): boolean {
    if (!this.#lost.isEmpty) return true;
    if (this.hasUnsent) return credit > 0 && this.#next < this.#limit;
    return this.#finDue;
  }

  /** There are octets that only the stream's own limit holds back. */
  get blockedByStream(): boolean {
    return this.hasUnsent && this.#next >= this.#limit;
  }

  /** There are octets to be sent that never were. */
  get hasUnsent(): boolean {
    return this.#next < this.#end();
  }

  /**
   * Writes one STREAM frame: lost octets first, then new ones, at most `credit` of these. Returns what it carried,
   * or `undefined` when there is no room or nothing to send.
   */
  writeFrame(writer: Writer, credit: number): StreamRetransmit | undefined {
    const resend = !this.#lost.isEmpty;
    const start = resend ? this.#lost.startAt(0) : this.#next;
    const limit = resend
      ? this.#lost.endAt(0)
      : Math.max(start, Math.min(this.#end(), this.#limit, start + credit));
    const octets = streamFrameCapacity(this.#streamId, start, limit - start, writer.remaining);
    if (octets < 0) return undefined;
    const end = start + octets;
    const fin = this.#finWritten && this.#resetCode === undefined && end === this.#written;
    if (octets === 0 && !(fin && this.#finDue)) return undefined;
    writeStreamHeader(writer, this.#streamId, start, octets, fin);
    this.#copyOut(writer, start, end, resend);
    if (resend) this.#lost.remove(start, end);
    else this.#next = end;
    if (fin) this.#finDue = false;
    return { kind: 'stream-set', what: Sent.STREAM, streamId: this.#streamId, start, end, fin };
  }

  #copyOut(writer: Writer, start: number, end: number, resend: boolean): void {
    let index = resend ? this.#chunkOf(start) : this.#cursor;
    let at = start;
    while (at < end) {
      const chunk = this.#chunks[index]!;
      const from = at - this.#chunkStarts[index]!;
      const octets = Math.min(chunk.length - from, end - at);
      writer.bytes(octets === chunk.length ? chunk : chunk.subarray(from, from + octets));
      at += octets;
      if (from + octets === chunk.length) index++;
    }
    if (!resend) this.#cursor = index;
  }

  /** Index of the chunk that holds `offset`. */
  #chunkOf(offset: number): number {
    let low = this.#firstChunk;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#chunkStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** A STREAM frame was acknowledged. Returns true when with it all was, and the end or the reset too. */
  onDelivered(start: number, end: number, fin: boolean): boolean {
    if (this.done) return false;
    this.#acked.add(start, end);
    this.#lost.remove(start, end);
    if (fin) {
      this.#finAcked = true;
      this.#finDue = false;
    }
    const settled = this.#settledOctets();
    this.#dropChunks(settled);
    if (this.#finAcked && settled === this.#written) this.#finish();
    else this.#finishReset();
    return this.done;
  }

  /** A frame of the reset was acknowledged. Returns true when with it all was that is reliable (RESET_STREAM_AT draft §5.3). */
  onResetDelivered(reliableSize: number): boolean {
    if (this.done) return false;
    // RESET_STREAM_AT draft §5.2: what was acknowledged may be a reset that delivers more than the newest one.
    this.#resetAcked ||= reliableSize === this.#reliableSize;
    this.#finishReset();
    return this.done;
  }

  #finishReset(): void {
    if (this.#resetAcked && this.#settledOctets() >= this.#reliableSize) this.#finish();
  }

  #finish(): void {
    this.done = true;
    this.#dropChunks(Number.POSITIVE_INFINITY);
    this.#lost.clear();
  }

  /** Octets acknowledged without a gap from the beginning. */
  #settledOctets(): number {
    return this.#acked.isEmpty || this.#acked.startAt(0) > 0 ? 0 : this.#acked.endAt(0);
  }

  #dropChunks(settled: number): void {
    const chunks = this.#chunks;
    let first = this.#firstChunk;
    while (first < chunks.length && this.#chunkStarts[first]! + chunks[first]!.length <= settled) {
      // The slot stays until the next compaction, its octets do not.
      chunks[first++] = EMPTY;
    }
    this.#firstChunk = first;
    if (first === chunks.length || (first >= COMPACT_CHUNKS && first * 2 >= chunks.length)) {
      chunks.splice(0, first);
      this.#chunkStarts.splice(0, first);
      this.#cursor -= first;
      this.#firstChunk = 0;
    }
  }

  /** A STREAM frame was lost: what of it is not acknowledged by now goes again. */
  onLost(start: number, end: number, fin: boolean): void {
    if (this.done) return;
    const last = this.#resetCode === undefined ? end : Math.min(end, this.#reliableSize);
    if (start < last) this.#acked.addMissingTo(this.#lost, start, last);
    if (fin && !this.#finAcked && this.#resetCode === undefined) this.#finDue = true;
  }

  /**
   * Ends the stream at once, but for its first `reliableSize` octets, which are delivered still. A second reset may deliver less,
   * never more, and keeps the code (RESET_STREAM_AT draft §5.2). Returns false when it changes nothing.
   */
  reset(code: number, reliableSize: number): boolean {
    if (this.done) return false;
    if (this.#resetCode !== undefined && reliableSize >= this.#reliableSize) return false;
    this.#resetCode ??= code;
    this.#reliableSize = Math.min(reliableSize, this.#written);
    this.#resetAcked = false;
    this.#finDue = false;
    this.aboveLowWater = false;
    this.#lost.remove(this.#reliableSize, Number.MAX_SAFE_INTEGER);
    this.#dropUnreliable();
    return true;
  }

  /** Lets go of chunks that are not delivered any more. */
  #dropUnreliable(): void {
    let keep = this.#chunks.length;
    while (keep > 0 && this.#chunkStarts[keep - 1]! >= this.#reliableSize) keep--;
    this.#chunks.length = keep;
    this.#chunkStarts.length = keep;
    this.#firstChunk = Math.min(this.#firstChunk, keep);
    this.#cursor = Math.min(this.#cursor, keep);
  }
}
