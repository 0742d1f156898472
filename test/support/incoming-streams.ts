import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';

/** Streams coming in, as the W3C's readable streams of streams. */
export class Incoming<T> {
  readonly readable: ReadableStream<T>;
  #controller!: ReadableStreamDefaultController<T>;
  #over = false;

  constructor() {
    this.readable = new ReadableStream<T>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#over = true;
      },
    });
  }

  push(stream: T): void {
    if (!this.#over) this.#controller.enqueue(stream);
  }

  end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    if (error === undefined) this.#controller.close();
    else this.#controller.error(error);
  }
}
