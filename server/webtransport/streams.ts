import { ReadableStream, WritableStream, type WritableStreamDefaultController } from 'node:stream/web';
import type { WebTransportConnection } from '../../proto/webtransport/index.ts';
import { StreamError } from './types.ts';

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
  return reason instanceof StreamError ? reason.streamErrorCode : 0;
}

/**
 * The receiving half of a stream as a `ReadableStream`. It takes octets out of QUIC only when somebody reads, so an idle
 * reader stops the peer by flow control.
 */
export class StreamReader {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #owner: StreamOwner;
  readonly #streamId: number;
  #controller!: ReadableStreamDefaultController;
  #arrival: (() => void) | undefined;
  #done = false;

  constructor(owner: StreamOwner, streamId: number) {
    this.#owner = owner;
    this.#streamId = streamId;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pull(),
        cancel: (reason) => {
          if (this.#done) return;
          this.#finish();
          owner.machine.stopSending(streamId, codeOf(reason));
          owner.wake();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** There is something to read. */
  notify(): void {
    this.#arrival?.();
    this.#arrival = undefined;
  }

  /** The stream was reset, or its session is gone. */
  fail(error: Error): void {
    if (this.#done) return;
    this.#finish();
    this.#controller.error(error);
  }

  async #pull(): Promise<void> {
    while (!this.#done) {
      const chunk = this.#owner.machine.readStream(this.#streamId, READ_CHUNK_OCTETS);
      if (chunk === undefined) {
        await new Promise<void>((resolve) => {
          this.#arrival = resolve;
        });
        continue;
      }
      this.#owner.wake(); // what was read becomes flow control credit
      if (chunk.data.length > 0) this.#controller.enqueue(chunk.data);
      if (chunk.fin) {
        this.#finish();
        this.#controller.close();
      }
      if (chunk.data.length > 0) return;
    }
  }

  #finish(): void {
    this.#done = true;
    this.notify();
    this.#owner.forget(this.#streamId, 'reader');
  }
}

/** The sending half of a stream as a `WritableStream`. Chunks are not copied: do not change them after writing. */
export class StreamWriter {
  readonly writable: WritableStream<Uint8Array>;
  readonly #owner: StreamOwner;
  readonly #streamId: number;
  #controller!: WritableStreamDefaultController;
  #drained: (() => void) | undefined;
  #finished: (() => void) | undefined;
  #failure: Error | undefined;
  #done = false;

  constructor(owner: StreamOwner, streamId: number) {
    this.#owner = owner;
    this.#streamId = streamId;
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        // `abort` below waits for a write or close that is under way; a reset must not.
        const { signal } = controller as AbortableController;
        signal.addEventListener('abort', () => this.#reset(signal.reason), { once: true });
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#close(),
      abort: (reason) => this.#reset(reason),
    });
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
    this.#controller.error(error);
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a WebTransport stream takes Uint8Array chunks');
    this.#owner.machine.writeStream(this.#streamId, chunk);
    this.#owner.wake();
    while (!this.#done && this.#owner.machine.streamBufferedOctets(this.#streamId) > WRITE_AHEAD_OCTETS) {
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
