import { LazyMap } from '../wire/index.ts';
import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import type { MicrophoneHeader } from './headers.ts';

/** Stretches that may wait for an earlier one; streams arrive out of order, but a caller mutes by hand. */
export const MAX_WAITING_STRETCHES = 32;

/**
 * Puts microphone stretches into the order they were spoken, whatever order their streams arrive in, and checks that
 * each begins at the very sample where the one before it ended. `T` is whatever stands for the stream.
 */
export class MicrophoneOrder<T> {
  readonly #waiting = new LazyMap<number, { header: MicrophoneHeader; stream: T }>();
  #next = 0;
  #running = false;
  #samples = 0;

  /** `firstSample` is above 0 when a session goes on where another one stopped. */
  constructor(nextStretch = 0, firstSample = 0) {
    this.#next = nextStretch;
    this.#samples = firstSample;
  }

  /** Samples of all stretches so far. */
  get samples(): number {
    return this.#samples;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a stretch whose header was read. Throws `VoiceProtocolError` on one seen before, or when too many wait. */
  offer(header: MicrophoneHeader, stream: T): void {
    const { stretch } = header;
    if (stretch < this.#next || this.#waiting.has(stretch)) {
      throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `microphone stretch ${stretch} came twice`);
    }
    if (stretch - this.#next > MAX_WAITING_STRETCHES || this.#waiting.size >= MAX_WAITING_STRETCHES) {
      throw new VoiceProtocolError(
        SessionCloseCode.TOO_MANY_STREAMS,
        `microphone stretch ${stretch} came while stretch ${this.#next} is awaited; at most ${MAX_WAITING_STRETCHES} may wait`,
      );
    }
    this.#waiting.set(stretch, { header, stream });
  }

  /** The stretch to read now; undefined while one is being read, or when the next has not come. */
  begin(): T | undefined {
    if (this.#running) return undefined;
    const entry = this.#waiting.get(this.#next);
    if (entry === undefined) return undefined;
    if (entry.header.firstSample !== this.#samples) {
      throw new VoiceProtocolError(
        SessionCloseCode.MICROPHONE_BROKEN,
        `microphone stretch ${this.#next} begins at sample ${entry.header.firstSample}, but ${this.#samples} samples came before it`,
      );
    }
    this.#waiting.delete(this.#next);
    this.#running = true;
    return entry.stream;
  }

  /** Counts samples of the stretch that is being read. */
  advance(samples: number): void {
    this.#samples += samples;
  }

  /** The stretch that is being read ended with its FIN. */
  finish(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#next += 1;
  }

  /** Streams that wait, given up and forgotten. */
  clear(): T[] {
    const streams = [...this.#waiting.values()].map((entry) => entry.stream);
    this.#waiting.clear();
    return streams;
  }
}
