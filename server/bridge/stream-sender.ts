import { type DirectWriter, type SendStream, type SendWriter, StreamError } from '../webtransport/types.ts';

/** One piece of a stream: octets, and how many samples of audio they are (0 for a header or a message). */
interface Piece {
  readonly octets: Uint8Array;
  readonly samples: number;
}

/** Hears what becomes of the pieces. */
export interface SenderListener {
  /** A piece was handed to the transport. */
  taken(octets: number, samples: number): void;
  /** Pieces will never be sent. */
  dropped(octets: number, samples: number): void;
  /** The peer stopped the stream, or it broke; not after `abort`. */
  failed?(error: unknown): void;
}

/**
 * Writes a stream in order and as fast as its backpressure allows, without making the producer wait: what cannot be
 * written yet is queued here and counted by the owner, who bounds it. Never throws or rejects.
 */
export class StreamSender {
  readonly #open: () => Promise<SendStream>;
  readonly #listener: SenderListener;
  readonly #direct: DirectWriter | undefined;
  /** Fulfils when all of it, the end included, was handed over, or never will be. */
  readonly over: Promise<void>;
  #queue: Piece[] = [];
  #queueTaken = 0;
  #writer: SendWriter | undefined;
  #running: Promise<void> | undefined;
  #lastWrite: Promise<void> | undefined;
  /** The first piece reaches the peer even when the stream is reset. */
  #committed = false;
  /** The writer was given a piece. */
  #handed = false;
  /** The writer's first piece is in the transport's hands: what is written at once comes behind it. */
  #begun = false;
  #ending = false;
  #abortCode: number | undefined;
  #over = false;
  #settleOver!: () => void;

  /** @param direct writes to the stream that `open` gives; while it does, that one is not opened. */
  constructor(open: () => Promise<SendStream>, listener: SenderListener, direct?: DirectWriter) {
    this.over = new Promise((resolve) => {
      this.#settleOver = resolve;
    });
    this.#open = open;
    this.#listener = listener;
    this.#direct = direct;
  }

  /** Whether it takes nothing more. */
  get closed(): boolean {
    return this.#ending || this.#over;
  }

  /** Pieces that wait for the transport. */
  get queued(): number {
    return this.#queue.length - this.#queueTaken;
  }

  push(octets: Uint8Array, samples = 0): void {
    if (this.closed) {
      this.#listener.dropped(octets.length, samples);
      return;
    }
    if (this.#running === undefined && this.#writer === undefined && this.#writeDirectly(octets)) {
      this.#listener.taken(octets.length, samples);
      return;
    }
    if (this.#running === undefined && this.#writer !== undefined) {
      // Nothing waits and the transport takes more: no turn of the task queue is spent on waiting for it.
      if (this.#begun && this.#writer.writeNow?.(octets)) {
        this.#listener.taken(octets.length, samples);
        return;
      }
      if ((this.#writer.desiredSize ?? 0) > 0) {
        this.#hand(this.#writer, { octets, samples });
        return;
      }
    }
    this.#queue.push({ octets, samples });
    this.#run();
  }

  #writeDirectly(octets: Uint8Array): boolean {
    const direct = this.#direct;
    if (direct === undefined || !direct.writeNow(octets)) return false;
    if (!this.#committed) {
      this.#committed = true;
      direct.commit();
    }
    return true;
  }

  #hand(writer: SendWriter, { octets, samples }: Piece): void {
    const write = writer.write(octets);
    if (!this.#handed) {
      // A stream that is reset later still delivers its first piece, its header. Before the next piece can follow, this has run.
      const commits = !this.#committed;
      this.#handed = true;
      this.#committed = true;
      write.then(() => {
        if (commits) writer.commit?.();
        this.#begun = true;
      }, ignore);
    }
    // Its failure is also that of `ready` and `close`, where it is handled.
    this.#lastWrite = write.catch(ignore);
    this.#listener.taken(octets.length, samples);
  }

  /** Ends the stream behind what is queued. */
  end(): void {
    if (this.closed) return;
    this.#ending = true;
    this.#run();
  }

  /** Resets the stream; what is queued is dropped. Does nothing once all of it, the end included, was handed over. */
  abort(code: number): void {
    if (this.#over) return;
    this.#setOver();
    this.#abortCode = code;
    this.#dropQueue();
    if (this.#writer !== undefined) abortQuietly(this.#writer, code);
    else if (this.#committed) this.#direct?.reset(notNeeded(code));
  }

  /** Fulfils when everything that was pushed so far was handed over, or never will be. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #run(): void {
    this.#running ??= this.#write().finally(() => {
      this.#running = undefined;
      if (!this.#over && (this.queued > 0 || this.#ending)) this.#run();
    });
  }

  async #write(): Promise<void> {
    try {
      const writer = this.#writer ?? (await this.#start());
      while (this.queued > 0 && !this.#over) {
        await writer.ready;
        const piece = this.#over ? undefined : this.#take();
        if (piece === undefined) break;
        this.#hand(writer, piece);
      }
      if (this.#ending && this.queued === 0 && !this.#over) {
        // A stream that is being closed cannot be reset any more: wait until the transport has taken everything.
        await this.#lastWrite;
        if (this.#over) return;
        await writer.close();
        this.#setOver();
      }
    } catch (error) {
      const aborted = this.#over;
      this.#setOver();
      this.#dropQueue();
      if (!aborted) this.#listener.failed?.(error);
    }
  }

  async #start(): Promise<SendWriter> {
    const stream = await this.#open();
    const writer = stream.getWriter();
    writer.closed.catch(ignore);
    this.#writer = writer;
    if (this.#abortCode !== undefined) abortQuietly(writer, this.#abortCode);
    return writer;
  }

  /** The next piece, without moving all that wait behind it. */
  #take(): Piece | undefined {
    const piece = this.#queue[this.#queueTaken];
    this.#queueTaken += 1;
    if (this.#queueTaken >= 1024 || this.queued <= 0) {
      this.#queue.splice(0, this.#queueTaken);
      this.#queueTaken = 0;
    }
    return piece;
  }

  #setOver(): void {
    this.#over = true;
    this.#settleOver();
  }

  #dropQueue(): void {
    const queue = this.#queue.slice(this.#queueTaken);
    this.#queue = [];
    this.#queueTaken = 0;
    for (const { octets, samples } of queue) this.#listener.dropped(octets.length, samples);
  }
}

function abortQuietly(writer: SendWriter, code: number): void {
  writer.abort(notNeeded(code)).catch(ignore);
}

function notNeeded(code: number): StreamError {
  return new StreamError(code, 'the stream is not needed any more');
}

/** For promises whose failure is handled elsewhere. */
export function ignore(): void {}
