import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';
import { MAX_CLIENT_STREAMS } from './limits.ts';

/**
 * Streams that the client opened, as a `ReadableStream` of them. Those that nobody has taken yet are kept up to as many as may be
 * open at once: a client that ends each at once would otherwise fill the memory with streams that are over.
 */
export class IncomingStreams<Stream> {
  readonly readable: ReadableStream<Stream>;
  readonly #refuse: (stream: Stream) => void;
  readonly #untaken: Stream[] = [];
  #controller!: ReadableStreamDefaultController<Stream>;
  /** A read waits. */
  #wanted = false;
  #over = false;
  /** It ends when the last that came was taken. */
  #ending = false;

  /** @param refuse turns a stream away that nobody will take. */
  constructor(refuse: (stream: Stream) => void) {
    this.#refuse = refuse;
    this.readable = new ReadableStream<Stream>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          const next = this.#untaken.shift();
          if (next !== undefined) this.#controller.enqueue(next);
          else if (this.#ending) this.#controller.close();
          else this.#wanted = true;
        },
        cancel: () => {
          this.#over = true;
          for (const stream of this.#untaken.splice(0)) refuse(stream);
        },
      },
      { highWaterMark: 0 },
    );
  }

  add(stream: Stream): void {
    if (this.#over || this.#untaken.length >= MAX_CLIENT_STREAMS) this.#refuse(stream);
    else if (!this.#wanted) this.#untaken.push(stream);
    else {
      this.#wanted = false;
      this.#controller.enqueue(stream);
    }
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
      this.#untaken.length = 0;
      this.#controller.error(error);
    } else if (this.#untaken.length === 0) this.#controller.close();
  }
}
