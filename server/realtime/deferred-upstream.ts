import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { sendAudio } from './append-frames.ts';
import type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';

/** An upstream that is still being decided on: what is asked of it waits. */
export class DeferredUpstream implements Upstream {
  readonly kind: UpstreamKind;
  #upstream: Upstream | undefined;
  #ended: UpstreamEnd | undefined;
  #closed = false;
  #openListener: (() => void) | undefined;
  #eventListener: ((event: Message) => void) | undefined;
  #closeListener: ((end: UpstreamEnd) => void) | undefined;

  /** `upstream` gives the upstream, or the reason why there is none; it never rejects. */
  constructor(kind: UpstreamKind, upstream: Promise<Upstream | UpstreamEnd>) {
    this.kind = kind;
    void upstream.then((result) => ('code' in result ? this.#fail(result) : this.#take(result)));
  }

  get isOpen(): boolean {
    return this.#upstream?.isOpen ?? false;
  }

  get bufferedAmount(): number {
    return this.#upstream?.bufferedAmount ?? 0;
  }

  onOpen(listener: () => void): void {
    if (this.#upstream === undefined) this.#openListener = listener;
    else this.#upstream.onOpen(listener);
  }

  onEvent(listener: (event: Message) => void): void {
    if (this.#upstream === undefined) this.#eventListener = listener;
    else this.#upstream.onEvent(listener);
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined) listener(this.#ended);
    else if (this.#upstream === undefined) this.#closeListener = listener;
    else this.#upstream.onClose(listener);
  }

  send(event: RealtimeClientEvent): void {
    this.#upstream?.send(event);
  }

  sendText(json: string): void {
    this.#upstream?.sendText(json);
  }

  sendAudio(pcm: Uint8Array): void {
    if (this.#upstream !== undefined) sendAudio(this.#upstream, pcm);
  }

  pause(): void {
    this.#upstream?.pause();
  }

  resume(): void {
    this.#upstream?.resume();
  }

  close(): void {
    this.#closed = true;
    this.#upstream?.close();
  }

  #take(upstream: Upstream): void {
    this.#upstream = upstream;
    if (this.#closed) {
      upstream.close();
      return;
    }
    if (this.#closeListener !== undefined) upstream.onClose(this.#closeListener);
    if (this.#openListener !== undefined) upstream.onOpen(this.#openListener);
    if (this.#eventListener !== undefined) upstream.onEvent(this.#eventListener);
  }

  #fail(end: UpstreamEnd): void {
    this.#ended = end;
    if (!this.#closed) this.#closeListener?.(end);
  }
}
