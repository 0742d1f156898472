import type { Message } from '../../proto/voice/index.ts';
import { LazySet } from '../../proto/wire/index.ts';

/** How long nothing may have been said before it counts as a pause, in ms. */
const QUIET_MS = 1000;
/** Responses that may be under way at once. */
const MAX_RUNNING = 64;

/** Knows when a conversation pauses: no speech, no response under way, and neither a second ago. */
export class PauseWatch {
  readonly #running = new LazySet<string>();
  #speaking = false;
  #lastAt: number;

  /** `now` in ms. */
  constructor(now: number) {
    this.#lastAt = now;
  }

  /** An event of the upstream. */
  upstreamEvent(event: Message, now: number): void {
    const { response } = event as { response?: { id?: unknown } | null };
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        this.#speaking = true;
        break;
      case 'input_audio_buffer.speech_stopped':
      case 'input_audio_buffer.committed':
      case 'input_audio_buffer.cleared':
        this.#speaking = false;
        break;
      case 'response.created':
        if (this.#running.size < MAX_RUNNING) this.#running.add(String(response?.id));
        break;
      case 'response.done':
        this.#running.delete(String(response?.id));
        break;
      default:
        return;
    }
    this.#lastAt = now;
  }

  /** A fresh upstream knows of no speech and no response. */
  upstreamReplaced(now: number): void {
    this.#running.clear();
    this.#speaking = false;
    this.#lastAt = now;
  }

  /** Whether a response is being made. */
  get responding(): boolean {
    return this.#running.size > 0;
  }

  quiet(now: number): boolean {
    return !this.#speaking && this.#running.size === 0 && now - this.#lastAt >= QUIET_MS;
  }
}
