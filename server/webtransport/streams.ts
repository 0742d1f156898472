import {
  ReadableStream,
  type UnderlyingSink,
  type UnderlyingSource,
  WritableStream,
  type WritableStreamDefaultController,
} from 'node:stream/web';
import type { WebTransportConnection } from '../../proto/webtransport/index.ts';
import {
  type DirectReader,
  type DirectWriter,
  type SendStream,
  type SendWriter,
  StreamError,
} from './types.ts';

/** Most octets handed to a reader at a time. */
const READ_CHUNK_OCTETS = 64 * 1024;
/** A write waits while more than this many octets of its stream have not been sent. */
const WRITE_AHEAD_OCTETS = 256 * 1024;

/** What a stream needs of its connection: the machine, and a way to have its output sent. */
export interface StreamOwner {
  readonly machine: WebTransportConnection;
  wake(): void;
  /** The stream needs no more events in this direction. */
  forget(streamId: number, half: 'reader' | 'writer'): void;
}

/** The standard's controller has a signal, and so has Node's; only the types of Node 20 lack it. */
type AbortableController = WritableStreamDefaultController & { readonly signal: AbortSignal };

/** The code in what a user gave to `abort` or `cancel`; 0 for anything but a `StreamError`. */
function codeOf(reason: unknown): number {
  return reason instanceof StreamError ? (reason.streamErrorCode ?? 0) : 0;
}

/** A `ReadableStream` that can be read directly too. */
class DirectStream extends ReadableStream<Uint8Array> {
  readonly direct: DirectReader;

  constructor(source: UnderlyingSource<Uint8Array>, direct: DirectReader) {
    super(source, { highWaterMark: 0 });
    this.direct = direct;
  }
}

/**
 * The receiving half of a stream as a `ReadableStream`. It takes octets out of QUIC only when somebody reads, so an idle
 * reader stops the peer by flow control.
 */
export class StreamReader implements DirectReader {
  readonly #owner: StreamOwner;
  readonly #streamId: number;
  #readable: DirectStream | undefined;
  #controller: ReadableStreamDefaultController | undefined;
  #listener: (() => void) | undefined;
  /** A read is pending, and nothing has arrived for it yet. */
  #wanted = false;
  #done = false;
  /** What had arrived when the session ended, and the end that follows it: null is a FIN. */
  #kept: Uint8Array[] = [];
  #keptEnd: Error | null | undefined;

  constructor(owner: StreamOwner, streamId: number) {
    this.#owner = owner;
    this.#streamId = streamId;
  }

  get over(): boolean {
    return this.#done || this.#keptEnd !== undefined || this.#kept.length > 0;
  }

  onReadable(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }

  /** Made when first asked for: what reads directly alone needs none, until the end. */
  get readable(): DirectStream {
    this.#readable ??= this.#makeReadable();
    return this.#readable;
  }

  #makeReadable(): DirectStream {
    return new DirectStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wanted = true;
          if (this.#keptEnd === undefined) this.#fill();
          else this.#giveKept();
        },
        cancel: (reason) => {
          this.#kept = [];
          if (this.#done) return;
          this.#finish();
          this.#owner.machine.stopSending(this.#streamId, codeOf(reason));
          this.#owner.wake();
        },
      },
      this,
    );
  }

  /** There is something to read. */
  notify(): void {
    if (this.#wanted) this.#fill();
    else this.#listener?.();
  }

  /** Nothing before a read that waits. */
  readNow(): Uint8Array | undefined {
    if (this.over || this.#wanted) return undefined;
    const chunk = this.#owner.machine.readStream(this.#streamId, READ_CHUNK_OCTETS);
    if (chunk === undefined) return undefined;
    this.#owner.wake(); // what was read becomes flow control credit
    if (chunk.fin) {
      this.#finish();
      this.#keptEnd = null;
    }
    return chunk.data.length > 0 ? chunk.data : undefined;
  }

  /** The session is ending, and these octets had arrived. `fail` follows. */
  keep(data: Uint8Array, fin: boolean): void {
    if (this.#done) return;
    if (data.length > 0) this.#kept.push(data);
    if (fin) this.#keptEnd = null;
  }

  /** The stream was reset, or its session is gone: what was kept of it can be read still. */
  fail(error: Error): void {
    if (this.#done) return;
    this.#finish();
    if (this.#keptEnd === undefined) this.#keptEnd = error;
    if (this.#wanted || this.#kept.length === 0) this.#giveKept();
    this.#listener?.();
  }

  /** Gives one kept chunk, or the end behind the last. */
  #giveKept(): void {
    const controller = this.#controller;
    // It is asked for when the stream is made, and read.
    if (controller === undefined) return;
    this.#wanted = false;
    const data = this.#kept.shift();
    if (data !== undefined) controller.enqueue(data);
    if (this.#kept.length > 0) return;
    if (this.#keptEnd === null) controller.close();
    // An error would throw away the chunk that was just given: it comes with the next read.
    else if (data === undefined) controller.error(this.#keptEnd);
  }

  /** Gives one chunk to a pending read, if there is one. Not a promise for each: this runs for every packet of audio. */
  #fill(): void {
    if (this.#done) return;
    const chunk = this.#owner.machine.readStream(this.#streamId, READ_CHUNK_OCTETS);
    if (chunk === undefined) return;
    this.#owner.wake(); // what was read becomes flow control credit
    if (chunk.data.length > 0) {
      this.#wanted = false;
      this.#controller?.enqueue(chunk.data);
    }
    if (!chunk.fin) return;
    this.#finish();
    this.#controller?.close();
  }

  #finish(): void {
    this.#done = true;
    this.#owner.forget(this.#streamId, 'reader');
  }
}

/** A `WritableStream` whose writers can commit, and write at once. */
class CommittingStream extends WritableStream<Uint8Array> implements SendStream {
  readonly #direct: DirectWriter;

  constructor(sink: UnderlyingSink<Uint8Array>, direct: DirectWriter) {
    super(sink);
    this.#direct = direct;
  }

  override getWriter(): SendWriter {
    return Object.assign(super.getWriter(), {
      commit: () => this.#direct.commit(),
      writeNow: (chunk: Uint8Array) => this.#direct.writeNow(chunk),
    });
  }
}

/** The sending half of a stream as a `WritableStream`. Chunks are not copied: do not change them after writing. */
export class StreamWriter implements DirectWriter {
  readonly #owner: StreamOwner;
  readonly #streamId: number;
  #writable: CommittingStream | undefined;
  #controller: WritableStreamDefaultController | undefined;
  #drained: (() => void) | undefined;
  #finished: (() => void) | undefined;
  #failure: Error | undefined;
  #closing = false;
  #done = false;

  constructor(owner: StreamOwner, streamId: number) {
    this.#owner = owner;
    this.#streamId = streamId;
  }

  /** Made when first asked for: what writes directly alone needs none, until the end. */
  get writable(): SendStream {
    this.#writable ??= this.#makeWritable();
    return this.#writable;
  }

  #makeWritable(): CommittingStream {
    return new CommittingStream(
      {
        start: (controller) => {
          this.#controller = controller;
          // It failed before it was asked for.
          if (this.#failure) controller.error(this.#failure);
          // `abort` below waits for a write or close that is under way; a reset must not.
          const { signal } = controller as AbortableController;
          signal.addEventListener('abort', () => this.#reset(signal.reason), { once: true });
        },
        write: (chunk) => this.#write(chunk),
        close: () => this.#close(),
        abort: (reason) => this.#reset(reason),
      },
      this,
    );
  }

  commit(): void {
    this.#owner.machine.commitStream(this.#streamId);
  }

  /** Enough was sent for the next write. */
  notifyDrained(): void {
    this.#drained?.();
    this.#drained = undefined;
  }

  /** The peer has all of it, and the FIN. */
  notifyFinished(): void {
    this.#finish();
    this.#finished?.();
  }

  /** The peer stopped the stream, or its session is gone. */
  fail(error: Error): void {
    if (this.#done) return;
    this.#failure = error;
    this.#finish();
    this.#finished?.();
    this.#controller?.error(error);
  }

  #write(chunk: Uint8Array): Promise<void> | undefined {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a WebTransport stream takes Uint8Array chunks');
    this.#owner.machine.writeStream(this.#streamId, chunk);
    this.#owner.wake();
    return this.#full() ? this.#untilDrained() : undefined;
  }

  /** Not before a write or the close that is under way, which would come out of order. */
  writeNow(chunk: Uint8Array): boolean {
    if (this.#done || this.#closing || this.#drained !== undefined || this.#full()) return false;
    this.#owner.machine.writeStream(this.#streamId, chunk);
    this.#owner.wake();
    return true;
  }

  reset(error: StreamError): void {
    if (this.#done) return;
    this.#failure = error;
    this.#reset(error);
    this.#controller?.error(error);
  }

  #full(): boolean {
    return !this.#done && this.#owner.machine.streamBufferedOctets(this.#streamId) > WRITE_AHEAD_OCTETS;
  }

  async #untilDrained(): Promise<void> {
    while (this.#full()) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
  }

  #reset(reason: unknown): void {
    if (this.#done) return;
    this.#finish();
    this.#finished?.();
    this.#owner.machine.resetStream(this.#streamId, codeOf(reason));
    this.#owner.wake();
  }

  /** Fulfils when the peer has acknowledged everything, as the W3C's `close()` does. */
  async #close(): Promise<void> {
    if (this.#done) return;
    this.#closing = true;
    this.#owner.machine.writeStream(this.#streamId, new Uint8Array(0), true);
    this.#owner.wake();
    await new Promise<void>((resolve) => {
      this.#finished = resolve;
    });
    if (this.#failure) throw this.#failure;
  }

  #finish(): void {
    this.#done = true;
    this.notifyDrained();
    this.#owner.forget(this.#streamId, 'writer');
  }
}
