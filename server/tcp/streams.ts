import {
  ReadableStream,
  type ReadableStreamDefaultController,
  type UnderlyingSink,
  WritableStream,
  type WritableStreamDefaultController,
} from 'node:stream/web';
import { type SendStream, StreamError } from '../webtransport/types.ts';
import type { LibrarySession, LibraryStream, LibraryStreamListener, ReadBuffer } from './library.ts';

/** A write waits while more than this many octets of its stream have not been sent. */
const WRITE_AHEAD_OCTETS = 256 * 1024;

/** What a stream needs of its session. */
export interface StreamOwner {
  readonly state: string;
  readonly objint: LibrarySession;
  /** Both halves are over. */
  forget(stream: TcpStream): void;
}

type AbortableController = WritableStreamDefaultController & { readonly signal: AbortSignal };

/** The code in what a user gave to `abort` or `cancel`; 0 for anything but a `StreamError`. */
function codeOf(reason: unknown): number {
  return reason instanceof StreamError ? (reason.streamErrorCode ?? 0) : 0;
}

/**
 * One of the library's streams in the W3C's shape. The library's own gives no codes of errors, and takes octets from the network
 * that no reader asked for; here a reader that rests stops its peer by flow control.
 */
export class TcpStream implements LibraryStreamListener {
  readonly readable: ReadableStream<Uint8Array> | undefined;
  readonly writable: SendStream | undefined;
  readonly parentobj: StreamOwner;
  readonly native: LibraryStream;
  #reader!: ReadableStreamDefaultController<Uint8Array>;
  #readDone: boolean;
  #wanted = false;
  /** The session is over: what has come can still be read, and this follows it. */
  #failure: Error | undefined;
  #discards = false;
  #writer!: WritableStreamDefaultController;
  #writeDone: boolean;
  /** Octets of each write that is not sent; the end of the stream is a 0. */
  readonly #unsent: number[] = [];
  #unsentOctets = 0;
  #drained: (() => void) | undefined;

  constructor(
    owner: StreamOwner,
    native: LibraryStream,
    halves: { readonly reads: boolean; writes: boolean },
  ) {
    this.parentobj = owner;
    this.native = native;
    this.#readDone = !halves.reads;
    this.#writeDone = !halves.writes;
    native.jsobj = this;
    native.sendInitialParameters();
    if (halves.reads) this.readable = this.#makeReadable();
    if (halves.writes) this.writable = this.#makeWritable();
  }

  /** Pieces that have come and that no one has read. */
  get unreadPieces(): number {
    return this.native.incomdata.length;
  }

  #makeReadable(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => {
          this.#wanted = true;
          if (this.#failure !== undefined) this.#endRead(this.#failure);
          else this.native.startReading();
        },
        cancel: (reason) => {
          if (this.#readDone) return;
          this.#finishRead();
          this.native.stopSending(codeOf(reason));
          this.#discard();
        },
      },
      { highWaterMark: 0 },
    );
  }

  #makeWritable(): SendStream {
    const sink: UnderlyingSink<Uint8Array> = {
      start: (controller) => {
        this.#writer = controller;
        // `abort` below waits for a write or close that is under way; a reset must not.
        const { signal } = controller as AbortableController;
        signal.addEventListener('abort', () => this.#reset(signal.reason), { once: true });
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#close(),
      abort: (reason) => this.#reset(reason),
    };
    return new WritableStream(sink) as SendStream;
  }

  getReadBuffer({ byteSize }: { readonly byteSize: number }): ReadBuffer {
    return { buffer: new Uint8Array(byteSize) };
  }

  /** One piece for the reader that asked; then the library is to wait for the next that does. */
  commitReadBuffer({ buffer, fin }: ReadBuffer): { readonly stopReading: boolean } {
    if (this.#readDone) return { stopReading: false };
    if (buffer !== undefined && buffer.length > 0) {
      this.#wanted = false;
      this.#reader.enqueue(buffer);
    }
    if (fin === true) this.#endRead();
    return { stopReading: !this.#readDone && !this.#wanted && this.#failure === undefined };
  }

  onStreamRecvSignal({ code, nettask }: Parameters<LibraryStreamListener['onStreamRecvSignal']>[0]): void {
    const error = new StreamError(
      code,
      `the peer ${nettask === 'resetStream' ? 'reset' : 'stopped'} the stream`,
    );
    if (nettask === 'stopSending') this.failWrite(error);
    else if (!this.#readDone) {
      this.#endRead(error);
      this.#discard();
    }
  }

  onStreamWrite(): void {
    this.#unsentOctets -= this.#unsent.shift() ?? 0;
    if (this.#unsentOctets > WRITE_AHEAD_OCTETS) return;
    this.#drained?.();
    this.#drained = undefined;
  }

  onStreamNetworkFinish(): void {}

  /** The session is over. What has come, and still lies in the library, is given to the reader first. */
  fail(error: Error): void {
    this.failWrite(error);
    if (this.#readDone) return;
    this.#failure = error;
    this.native.drainReads();
    if (!this.#readDone && (this.#wanted || (this.#reader.desiredSize ?? 0) >= 0)) this.#endRead(error);
  }

  failWrite(error: Error): void {
    if (this.#writeDone) return;
    this.#finishWrite();
    this.#writer.error(error);
  }

  #endRead(error?: Error): void {
    if (this.#readDone) return;
    this.#finishRead();
    if (error === undefined) this.#reader.close();
    else this.#reader.error(error);
  }

  /** What came and what may still come is credited to the session: other streams share its window. */
  #discard(): void {
    if (this.#discards) return;
    this.#discards = true;
    this.native.drainReads();
  }

  #write(chunk: Uint8Array): Promise<void> | undefined {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a WebTransport stream takes Uint8Array chunks');
    if (chunk.length === 0) return undefined;
    this.#unsent.push(chunk.length);
    this.#unsentOctets += chunk.length;
    this.native.writeChunk(chunk);
    return this.#unsentOctets > WRITE_AHEAD_OCTETS ? this.#untilSent(WRITE_AHEAD_OCTETS) : undefined;
  }

  async #untilSent(octets: number): Promise<void> {
    while (!this.#writeDone && (this.#unsentOctets > octets || (octets === 0 && this.#unsent.length > 0))) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
  }

  #reset(reason: unknown): void {
    if (this.#writeDone) return;
    this.#finishWrite();
    this.native.resetStream(codeOf(reason));
  }

  async #close(): Promise<void> {
    if (this.#writeDone) return;
    this.#unsent.push(0);
    this.native.streamFinal();
    await this.#untilSent(0);
    this.#finishWrite();
  }

  #finishRead(): void {
    this.#readDone = true;
    if (this.#writeDone) this.parentobj.forget(this);
  }

  #finishWrite(): void {
    this.#writeDone = true;
    this.#drained?.();
    if (this.#readDone) this.parentobj.forget(this);
  }
}
