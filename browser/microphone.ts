import type { MicrophoneCommand, MicrophoneReport } from './worklets/messages.ts';

/** What the microphone worklet tells, in order: opened, chunks, closed, opened, … */
export interface MicrophoneListener {
  opened(): void;
  samples(samples: Int16Array, level: number): void;
  closed(): void;
  /** How loud it is while nothing is taken, each 200 ms. */
  mutedLevel(level: number): void;
}

/** The worklet's port, as far as it is used here. */
export interface MicrophonePort {
  postMessage(command: MicrophoneCommand): void;
  onmessage: unknown;
}

/** The page's side of the microphone worklet. A sample is either before or after `close`, never lost between. */
export class Microphone {
  readonly #port: MicrophonePort;
  readonly #listener: MicrophoneListener;
  #open = false;
  #waiting: (() => void)[] = [];
  #lastClose: Promise<void> = Promise.resolve();

  constructor(port: MicrophonePort, listener: MicrophoneListener) {
    this.#port = port;
    this.#listener = listener;
    port.onmessage = (event: { readonly data: MicrophoneReport }) => this.#take(event.data);
  }

  /** Whether samples from before a `close` may still come. */
  get closing(): boolean {
    return this.#waiting.length > 0;
  }

  open(): void {
    if (this.#open) return;
    this.#open = true;
    this.#command({ type: 'open' });
  }

  /** Stops taking samples; fulfils when the last of them has come. */
  close(): Promise<void> {
    if (!this.#open) return this.#lastClose;
    this.#open = false;
    this.#lastClose = new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#command({ type: 'close' });
    });
    return this.#lastClose;
  }

  #command(command: MicrophoneCommand): void {
    this.#port.postMessage(command);
  }

  #take(report: MicrophoneReport): void {
    if (report.type === 'chunk') {
      this.#listener.samples(report.samples, report.level);
      return;
    }
    if (report.type === 'opened') {
      this.#listener.opened();
      return;
    }
    if (report.type === 'muted') {
      if (!this.#open) this.#listener.mutedLevel(report.level);
      return;
    }
    const closed = this.#waiting.shift();
    this.#listener.closed();
    closed?.();
  }
}
