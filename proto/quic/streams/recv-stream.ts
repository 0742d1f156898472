import { LazyMap } from '../../wire/index.ts';
import { RangeSet } from '../ack/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { FrameType } from '../frames/index.ts';

/**
 * Received octets are copied into blocks of this many octets. However small and scattered the frames are, a stream keeps at
 * most its window of them, plus one block.
 */
const BLOCK_OCTETS = 4096;
/** What is read in smaller pieces is copied: a reader that keeps a short message must not keep its whole block. */
const MIN_VIEW_OCTETS = 512;
/** Gaps that a stream's reassembly may have; a window of full packets, every second one lost, makes about 440 per MiB. */
const MIN_GAPS = 1024;
/** With larger windows, one gap per this many octets of window. */
const OCTETS_PER_GAP = 1024;
/** What one read gives when the caller names no bound, in octets. */
const DEFAULT_READ_OCTETS = 65_536;
const EMPTY = new Uint8Array(0);

export interface StreamRead {
  readonly data: Uint8Array;
  readonly fin: boolean;
}

/** The receiving half of a stream (RFC 9000 §3.2): reassembly, final size, and its own flow control. */
export class RecvStream {
  readonly #streamId: number;
  readonly #windowOctets: number;
  readonly #blocks = new LazyMap<number, Uint8Array>();
  readonly #received = new RangeSet();
  /** Octets the application has taken. */
  #readOffset = 0;
  /** One past the highest offset received. */
  #highest = 0;
  #finalSize: number | undefined;
  /** MAX_STREAM_DATA that the peer has or is about to have. */
  #limit: number;
  /** We sent STOP_SENDING: octets are counted and dropped. */
  #stopCode: number | undefined;
  /** The peer reset the stream with this code; it shows once `#reliableSize` octets were read. */
  #resetCode: number | undefined;
  /** Octets that come although the stream was reset; without a limit while it is not (RESET_STREAM_AT draft §5). */
  #reliableSize = Number.POSITIVE_INFINITY;
  /** Octets given back to the connection's flow control. */
  #credited = 0;
  /** The end was read, or the peer's reset came, or the application refused the rest: a terminal state. */
  done = false;

  constructor(streamId: number, windowOctets: number) {
    this.#streamId = streamId;
    this.#windowOctets = windowOctets;
    this.#limit = windowOctets;
  }

  /** Octets of memory that hold what was received and not read. */
  get heldOctets(): number {
    return this.#blocks.size * BLOCK_OCTETS;
  }

  get highest(): number {
    return this.#highest;
  }

  get limit(): number {
    return this.#limit;
  }

  get stopCode(): number | undefined {
    return this.#stopCode;
  }

  /** What the peer reset the stream with. */
  get resetCode(): number | undefined {
    return this.#resetCode;
  }

  /** The peer will send nothing new: neither credit nor STOP_SENDING mean anything to it any more. */
  get sizeKnown(): boolean {
    return this.#finalSize !== undefined;
  }

  /** Octets or the end can be read. */
  get readable(): boolean {
    if (this.done || this.#stopCode !== undefined) return false;
    return this.#readableEnd() > this.#readOffset || this.#atFin();
  }

  /** All was read and the end is no reset. */
  #atFin(): boolean {
    return this.#finalSize === this.#readOffset && this.#resetCode === undefined;
  }

  /** How far octets can be read: without a gap, and after a reset no further than what is reliable. */
  #readableEnd(): number {
    return Math.min(this.#contiguousEnd(), this.#reliableSize);
  }

  /** How far the octets reach without a gap. */
  #contiguousEnd(): number {
    return this.#received.isEmpty || this.#received.startAt(0) > 0 ? 0 : this.#received.endAt(0);
  }

  /**
   * By how much a frame that ends at `end` raises the highest offset: what it takes from the connection's flow control.
   * Throws FLOW_CONTROL_ERROR above the stream's limit and FINAL_SIZE_ERROR where sizes disagree (RFC 9000 §4.1 and §4.5).
   * Changes nothing.
   */
  growthTo(end: number, final: boolean, frameType: number): number {
    if (end > this.#limit) {
      throw new TransportError(
        TransportErrorCode.FLOW_CONTROL_ERROR,
        `stream ${this.#streamId} reaches ${end}, its limit is ${this.#limit}`,
        frameType,
      );
    }
    const size = this.#finalSize;
    if (size !== undefined ? end > size || (final && end !== size) : final && end < this.#highest) {
      throw new TransportError(
        TransportErrorCode.FINAL_SIZE_ERROR,
        `stream ${this.#streamId} ends at ${size ?? end}, a frame says otherwise (${end}, highest ${this.#highest})`,
        frameType,
      );
    }
    return Math.max(0, end - this.#highest);
  }

  /** Takes a STREAM frame's octets, after `growthTo` has agreed. They are copied. */
  receive(offset: number, data: Uint8Array, fin: boolean): void {
    const end = offset + data.length;
    this.#highest = Math.max(this.#highest, end);
    if (fin) this.#finalSize = end;
    if (this.#stopCode !== undefined) {
      // RFC 9000 §3.5: what was in flight is thrown away; once the size is known, all is.
      this.done = this.#finalSize !== undefined;
      return;
    }
    const from = Math.max(offset, this.#readOffset);
    const to = Math.min(end, this.#reliableSize);
    if (to <= from || !this.#received.add(offset, to)) return;
    const maxGaps = Math.max(MIN_GAPS, this.#windowOctets / OCTETS_PER_GAP);
    if (this.#received.length > maxGaps) {
      throw new TransportError(
        TransportErrorCode.INTERNAL_ERROR,
        `stream ${this.#streamId} has more than ${maxGaps} gaps: send lost octets before new ones`,
        FrameType.STREAM,
      );
    }
    this.#store(from, data.subarray(from - offset, to - offset));
  }

  #store(offset: number, data: Uint8Array): void {
    let done = 0;
    while (done < data.length) {
      const at = offset + done;
      const index = Math.floor(at / BLOCK_OCTETS);
      const within = at - index * BLOCK_OCTETS;
      const octets = Math.min(BLOCK_OCTETS - within, data.length - done);
      let block = this.#blocks.get(index);
      if (block === undefined) {
        block = new Uint8Array(BLOCK_OCTETS);
        this.#blocks.set(index, block);
      }
      block.set(octets === data.length ? data : data.subarray(done, done + octets), within);
      done += octets;
    }
  }

  /**
   * Takes up to `maxOctets` in-order octets. The data is the caller's: a view of a block that is not written there again, or a
   * copy. `undefined` when there is nothing.
   */
  read(maxOctets = DEFAULT_READ_OCTETS): StreamRead | undefined {
    if (this.done || this.#stopCode !== undefined) return undefined;
    const available = Math.min(maxOctets, this.#readableEnd() - this.#readOffset);
    if (available <= 0 && !this.#atFin()) return undefined;
    const data = available > 0 ? this.#take(available) : EMPTY;
    // A stream of messages falls idle with a block that nothing is read from any more: it gets a new one if more comes.
    const small = data.length < MIN_VIEW_OCTETS || this.#readOffset < BLOCK_OCTETS;
    if (small && this.#readOffset === this.#received.end) this.#blocks.clear();
    const fin = this.#atFin();
    if (fin || this.#readOffset >= this.#reliableSize) this.#end();
    return { data, fin };
  }

  #take(octets: number): Uint8Array {
    const start = this.#readOffset;
    const end = start + octets;
    this.#readOffset = end;
    const first = Math.floor(start / BLOCK_OCTETS);
    if (end <= (first + 1) * BLOCK_OCTETS) return this.#takeFromBlock(first, start, end);
    const joined = new Uint8Array(octets);
    for (let at = start; at < end; ) {
      const index = Math.floor(at / BLOCK_OCTETS);
      const part = this.#takeFromBlock(index, at, Math.min(end, (index + 1) * BLOCK_OCTETS));
      joined.set(part, at - start);
      at += part.length;
    }
    return joined;
  }

  #takeFromBlock(index: number, start: number, end: number): Uint8Array {
    const base = index * BLOCK_OCTETS;
    const block = this.#blocks.get(index)!;
    if (end === base + BLOCK_OCTETS) this.#blocks.delete(index);
    return end - start < MIN_VIEW_OCTETS
      ? block.slice(start - base, end - base)
      : block.subarray(start - base, end - base);
  }

  /**
   * RESET_STREAM, or RESET_STREAM_AT with a reliable size, after `growthTo` has agreed. Changes nothing when all octets and the FIN
   * came before it (RFC 9000 §3.2 lets the application still read them), when the stream is over, or when an earlier reset
   * delivers less (RESET_STREAM_AT draft §5.2). Throws STREAM_STATE_ERROR when an earlier one had another code.
   */
  reset(code: number, finalSize: number, reliableSize: number, frameType: number): void {
    if (this.done) return;
    if (this.#resetCode !== undefined && code !== this.#resetCode) {
      throw new TransportError(
        TransportErrorCode.STREAM_STATE_ERROR,
        `stream ${this.#streamId} was reset with ${this.#resetCode} and then with ${code}`,
        frameType,
      );
    }
    this.#highest = finalSize;
    if (this.#stopCode !== undefined) {
      this.#finalSize = finalSize;
      this.done = true;
      return;
    }
    if (
      this.#resetCode === undefined &&
      this.#finalSize !== undefined &&
      this.#contiguousEnd() === this.#finalSize
    )
      return;
    this.#finalSize = finalSize;
    this.#resetCode = code;
    if (reliableSize >= this.#reliableSize) return;
    this.#reliableSize = reliableSize;
    if (this.#readOffset >= reliableSize) this.#end();
    else this.#dropFrom(reliableSize);
  }

  /** Nothing is read any more: the end was, or the reset shows. */
  #end(): void {
    this.done = true;
    this.#drop();
  }

  /** Lets go of octets that a reset does not deliver. */
  #dropFrom(offset: number): void {
    this.#received.remove(offset, Number.MAX_SAFE_INTEGER);
    for (const index of this.#blocks.keys()) if (index * BLOCK_OCTETS >= offset) this.#blocks.delete(index);
  }

  /** The application refuses the rest. Returns whether STOP_SENDING must be sent: not when the peer has sent all (RFC 9000 §3.5). */
  stop(code: number): boolean {
    if (this.done || this.#stopCode !== undefined) return false;
    this.#stopCode = code;
    this.#drop();
    this.done = this.#finalSize !== undefined;
    return !this.done;
  }

  #drop(): void {
    this.#blocks.clear();
    this.#received.clear();
  }

  /** Octets that were consumed or dropped since the last call: they go back to the connection's flow control. */
  takeCredit(): number {
    const upTo = this.done || this.#stopCode !== undefined ? this.#highest : this.#readOffset;
    const credit = upTo - this.#credited;
    this.#credited = upTo;
    return credit;
  }

  /** A new MAX_STREAM_DATA is worth a frame: half of the window was read since the last one (RFC 9000 §4.2). */
  raiseLimit(): boolean {
    if (this.sizeKnown || this.#stopCode !== undefined) return false;
    if (this.#limit - this.#readOffset > this.#windowOctets / 2) return false;
    this.#limit = this.#readOffset + this.#windowOctets;
    return true;
  }
}
