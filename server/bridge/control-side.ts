import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import type { Caller } from '../access/index.ts';
import { formatProblem } from '../realtime/index.ts';
import type { HookGuard } from './hook-guard.ts';
import type { HookedCall } from './hooks.ts';

/** Listeners of one call. */
const MAX_LISTENERS = 16;

/** The control side of a call: its events without its audio, which stays between page and upstream. */
export interface CallControl {
  /** The same for the whole call, on whichever backend it is. */
  readonly id: string;
  readonly caller: Caller;
  /** Another backend began the call, and it goes on here: what was set before is set. */
  readonly goesOn: boolean;
  readonly over: boolean;
  /** Fulfils when the call has ended here. */
  readonly ended: Promise<void>;
  /**
   * Sends the model an event of the Realtime API, beside those of the page. Throws a `TypeError` for audio, for a session whose format the
   * call cannot carry, and when the call is over.
   */
  send(event: { readonly type: string }): void;
  /** Stops the answer that is made or heard, as the page's own `interrupt()` does. */
  interrupt(): void;
  /** Calls `listener` with every event of the upstream but audio; returns the way to stop it. Throws when there are 16 already. */
  onEvent(listener: (event: Message) => void): () => void;
}

/** What the control side needs of its conversation. */
export interface ControlHost {
  /** An event on its way to the upstream, with the server's own tools; undefined when there is nothing to be sent. */
  prepare(event: Message): Message | undefined;
  send(event: RealtimeClientEvent): void;
  interrupt(): void;
}

/** Gives an app's own code the control side of one call. */
export class ControlSide {
  readonly control: CallControl;
  readonly #guard: HookGuard;
  readonly #host: ControlHost;
  readonly #listeners = new Set<(event: Message) => void>();
  #over = false;
  #settle!: () => void;

  constructor({ id, caller }: HookedCall, goesOn: boolean, guard: HookGuard, host: ControlHost) {
    this.#guard = guard;
    this.#host = host;
    const ended = new Promise<void>((resolve) => {
      this.#settle = resolve;
    });
    const isOver = () => this.#over;
    this.control = {
      id,
      caller,
      goesOn,
      ended,
      get over() {
        return isOver();
      },
      send: (event) => this.#send(event as Message),
      interrupt: () => {
        if (!this.#over) host.interrupt();
      },
      onEvent: (listener) => this.#listen(listener),
    };
  }

  /** An event of the upstream, as it came. */
  upstreamEvent(event: Message): void {
    for (const listener of this.#listeners) this.#guard.tell('onCall', () => listener(event));
  }

  end(): void {
    this.#over = true;
    this.#listeners.clear();
    this.#settle();
  }

  #listen(listener: (event: Message) => void): () => void {
    if (this.#listeners.size >= MAX_LISTENERS)
      throw new TypeError(`A call has ${MAX_LISTENERS} listeners already.`);
    // Of one function that listens twice, each stops for itself.
    const own = (event: Message) => listener(event);
    if (!this.#over) this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #send(event: Message): void {
    if (this.#over) throw new TypeError(`${String(event.type)} was not sent: the call is over.`);
    if (typeof event.type !== 'string') throw new TypeError('An event of the Realtime API has a type.');
    if (event.type.startsWith('input_audio_buffer.'))
      throw new TypeError(`${event.type} belongs to the page, whose microphone it is about.`);
    const problem = formatProblem(event);
    if (problem !== undefined) throw new TypeError(problem);
    const prepared = this.#host.prepare(event);
    if (prepared !== undefined) this.#host.send(prepared as unknown as RealtimeClientEvent);
  }
}
