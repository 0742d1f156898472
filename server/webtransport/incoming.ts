import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';
import { Queue } from '../../proto/wire/index.ts';
import { MAX_CLIENT_STREAMS } from './limits.ts';

/**
 * Streams that the client opened, as a `ReadableStream` of them. Those that were not taken yet are kept up to as many as may be
 * open at once: a client that ends each at once would otherwise fill the memory with streams that are over.
 */
export class IncomingStreams<Stream> {
  readonly readable: ReadableStream<Stream>;
  readonly #refuse: (stream: Stream) => void;
  readonly #untaken = new Queue<Stream>();
  #controller!: ReadableStreamDefaultController<Stream>;
  /** A read waits. */
  #wanted = false;
  #over = false;

  /** @param refuse turns a stream away that will not be taken. */
  constructor(refuse: (stream: Stream) => void) {
    this.#refuse = refuse;
    this.readable = new ReadableStream<Stream>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          const next = this.#untaken.shift();
          if (next === undefined) this.#wanted = true;
          else this.#controller.enqueue(next);
        },
        cancel: () => {
          this.#over = true;
          this.#untaken.forEach(refuse);
          this.#untaken.clear();
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

  /** The session is over, or lost with an error: no more will come, and what was not taken is of no use. */
  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#untaken.clear();
    if (error) this.#controller.error(error);
    else this.#controller.close();
  }
}
