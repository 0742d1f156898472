import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { type Upstream, WrappedUpstream } from '../realtime/index.ts';
import type { CallTimings } from './timings.ts';

/** An upstream, and what its events say of the times that a caller waits. */
export class WatchedUpstream extends WrappedUpstream {
  readonly #timings: CallTimings;
  /** When the caller was last heard to stop, and to start; until what follows from it has come. */
  #stoppedAt: number | undefined;
  #startedAt: number | undefined;

  constructor(upstream: Upstream, timings: CallTimings) {
    super(upstream);
    this.#timings = timings;
  }

  override onEvent(listener: (event: Message) => void): void {
    super.onEvent((event) => {
      this.#note(event.type);
      listener(event);
    });
  }

  /** A truncation says what a page has played: it leaves when the page has fallen silent and said so. */
  override send(event: RealtimeClientEvent): void {
    if (event.type === 'conversation.item.truncate' && this.#startedAt !== undefined) {
      this.#timings.silent((performance.now() - this.#startedAt) / 1000);
      this.#startedAt = undefined;
    }
    super.send(event);
  }

  #note(type: string): void {
    if (type === 'response.output_audio.delta') {
      if (this.#stoppedAt === undefined) return;
      this.#timings.firstAudio((performance.now() - this.#stoppedAt) / 1000);
      this.#stoppedAt = undefined;
    } else if (type === 'input_audio_buffer.speech_stopped') {
      this.#stoppedAt = performance.now();
      this.#startedAt = undefined;
    } else if (type === 'input_audio_buffer.speech_started') {
      this.#startedAt = performance.now();
      this.#stoppedAt = undefined;
    }
  }
}
