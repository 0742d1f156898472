import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { sendAudio } from './append-frames.ts';
import type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';

/** An upstream that passes all on to another; those who look at what passes override what they look at. */
export class WrappedUpstream implements Upstream {
  readonly kind: UpstreamKind;
  readonly #upstream: Upstream;

  constructor(upstream: Upstream) {
    this.kind = upstream.kind;
    this.#upstream = upstream;
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
    this.#upstream.onEvent(listener);
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    this.#upstream.onClose(listener);
  }

  send(event: RealtimeClientEvent): void {
    this.#upstream.send(event);
  }

  sendText(json: string): void {
    this.#upstream.sendText(json);
  }

  sendAudio(pcm: Uint8Array): void {
    sendAudio(this.#upstream, pcm);
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
}
