import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';
import { Queue } from '../../proto/wire/index.ts';
import { MAX_CLIENT_STREAMS } from './limits.ts';

/**
 * Streams that the client opened, as a `ReadableStream` of them or one by one to a listener. Those that were not taken yet are kept
 * up to as many as may be open at once: a client that ends each at once would otherwise fill the memory with streams that are over.
 */
export class IncomingStreams<Stream> {
  readonly #refuse: (stream: Stream) => void;
  readonly #untaken = new Queue<Stream>();
  #readable: ReadableStream<Stream> | undefined;
  #controller: ReadableStreamDefaultController<Stream> | undefined;
  #listener: ((stream: Stream) => void) | undefined;
  /** A read waits. */
  #wanted = false;
  #over = false;
  /** It ends when the last that came was taken. */
  #ending = false;
  #failure: Error | undefined;

  /** @param refuse turns a stream away that will not be taken. */
  constructor(refuse: (stream: Stream) => void) {
    this.#refuse = refuse;
  }

  /** Made when first asked for: it costs more than what it stands for. */
  get readable(): ReadableStream<Stream> {
    this.#readable ??= this.#makeReadable();
    return this.#readable;
  }

  #makeReadable(): ReadableStream<Stream> {
    return new ReadableStream<Stream>(
      {
        start: (controller) => {
          this.#controller = controller;
          if (this.#failure) controller.error(this.#failure);
          else if (this.#ending && this.#untaken.length === 0) controller.close();
        },
        pull: (controller) => {
          const next = this.#untaken.shift();
          if (next !== undefined) controller.enqueue(next);
          else if (this.#ending) controller.close();
          else this.#wanted = true;
        },
        cancel: () => this.#stop(),
      },
      { highWaterMark: 0 },
    );
  }

  /** Gives those that came, and each that comes, to `listener`, in place of `readable`. Returns the way to take no more. */
  listen(listener: (stream: Stream) => void): () => void {
    this.#listener = listener;
    for (let next = this.#untaken.shift(); next !== undefined; next = this.#untaken.shift()) listener(next);
    return () => {
      this.#listener = undefined;
      this.#stop();
    };
  }

  #stop(): void {
    this.#over = true;
    this.#untaken.forEach(this.#refuse);
    this.#untaken.clear();
  }

  add(stream: Stream): void {
    if (this.#over) this.#refuse(stream);
    else if (this.#listener !== undefined) this.#listener(stream);
    else if (this.#wanted) {
      this.#wanted = false;
      this.#controller?.enqueue(stream);
    } else if (this.#untaken.length < MAX_CLIENT_STREAMS) this.#untaken.push(stream);
    else this.#refuse(stream);
  }

  /**
   * The session is over: no more will come, and those that came before its close may still be taken, for they hold what had
   * arrived. When it was lost with an error they are of no use.
   */
  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#ending = true;
    if (error) {
      this.#failure = error;
      this.#untaken.clear();
      this.#controller?.error(error);
    } else if (this.#untaken.length === 0) this.#controller?.close();
  }
}
