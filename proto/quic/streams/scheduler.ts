import { Queue } from '../../wire/index.ts';
import type { Stream } from './stream.ts';

interface Level {
  readonly priority: number;
  readonly queue: Queue<Stream>;
}

/** Streams with something to send: higher priority first, equal ones by turns. */
export class Scheduler {
  /** Highest priority first; a level exists while streams wait in it. */
  readonly #levels: Level[] = [];

  /** Puts the stream at the end of its priority's turn; does nothing when it waits already. */
  add(stream: Stream): void {
    if (stream.queuedAt !== undefined) return;
    const priority = stream.priority;
    stream.queuedAt = priority;
    const levels = this.#levels;
    let at = 0;
    while (at < levels.length && levels[at]!.priority > priority) at++;
    if (levels[at]?.priority !== priority) levels.splice(at, 0, { priority, queue: new Queue() });
    levels[at]!.queue.push(stream);
  }

  /** Whose turn it is. */
  first(): Stream | undefined {
    return this.#levels[0]?.queue.peek();
  }

  /** Takes away the stream whose turn it is. */
  shift(): void {
    const level = this.#levels[0];
    const stream = level?.queue.shift();
    if (stream) stream.queuedAt = undefined;
    if (level?.queue.isEmpty) this.#levels.shift();
  }

  remove(stream: Stream): void {
    if (stream.queuedAt === undefined) return;
    const at = this.#levels.findIndex((level) => level.priority === stream.queuedAt);
    stream.queuedAt = undefined;
    const level = this.#levels[at];
    if (!level) return;
    level.queue.remove(stream);
    if (level.queue.isEmpty) this.#levels.splice(at, 1);
  }
}
