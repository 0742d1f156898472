import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import type { Upstream, UpstreamEnd, UpstreamKind } from '../realtime/upstream.ts';
import type { CallTimings } from './timings.ts';

/** An upstream, and what its events say of the times that a caller waits. */
export class WatchedUpstream implements Upstream {
  readonly kind: UpstreamKind;
  readonly #upstream: Upstream;
  readonly #timings: CallTimings;
  /** When the caller was last heard to stop, and to start; until what follows from it has come. */
  #stoppedAt: number | undefined;
  #startedAt: number | undefined;

  constructor(upstream: Upstream, timings: CallTimings) {
    this.kind = upstream.kind;
    this.#upstream = upstream;
    this.#timings = timings;
  }

  get isOpen(): boolean {
    return this.#upstream.isOpen;
  }

  get bufferedAmount(): number {
    return this.#upstream.bufferedAmount;
  }

  onOpen(listener: () => void): void {
    this.#upstream.onOpen(listener);
  }

  onEvent(listener: (event: Message) => void): void {
    this.#upstream.onEvent((event) => {
      this.#note(event.type);
      listener(event);
    });
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    this.#upstream.onClose(listener);
  }

  /** A truncation says what a page has played: it leaves when the page has fallen silent and said so. */
  send(event: RealtimeClientEvent): void {
    if (event.type === 'conversation.item.truncate' && this.#startedAt !== undefined) {
      this.#timings.silent((performance.now() - this.#startedAt) / 1000);
      this.#startedAt = undefined;
    }
    this.#upstream.send(event);
  }

  sendText(json: string): void {
    this.#upstream.sendText(json);
  }

  pause(): void {
    this.#upstream.pause();
  }

  resume(): void {
    this.#upstream.resume();
  }

  close(): void {
    this.#upstream.close();
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
