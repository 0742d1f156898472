/** `starting` until all of it runs; `suspended` when the system or the browser stopped it, or does not let it start. */
export type AudioState = 'starting' | 'running' | 'suspended';

/** How often a suspended context is asked to run again, in ms. */
const RETRY_MS = 1000;
/** A start that takes longer counts as suspended, in ms: Firefox needs up to 2 s on a busy machine. */
export const START_MS = 4000;
/** What a person does when coming back to the page; browsers let audio start within a gesture. */
const GESTURES = ['pointerdown', 'pointerup', 'keydown', 'touchend', 'focus', 'pageshow'] as const;

/**
 * The AudioContexts of one call. Systems suspend them (a phone call, a locked screen, a device that goes, a page that no one
 * has clicked yet) and seldom start them again: this asks for it whenever it may succeed, and tells how it stands.
 */
export class AudioContexts {
  readonly #changed: (state: AudioState) => void;
  readonly #contexts: AudioContext[] = [];
  readonly #wake = () => this.#resume();
  readonly #startedAt = performance.now();
  #state: AudioState = 'starting';
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(changed: (state: AudioState) => void) {
    this.#changed = changed;
    for (const name of GESTURES) globalThis.addEventListener(name, this.#wake, { capture: true });
    document.addEventListener('visibilitychange', this.#wake);
    navigator.mediaDevices.addEventListener('devicechange', this.#wake);
  }

  get state(): AudioState {
    return this.#state;
  }

  /** Has a context run, a new one or one made ahead: it starts as soon as the browser lets it. */
  open(context: AudioContext): AudioContext {
    this.#contexts.push(context);
    context.addEventListener('statechange', () => {
      this.#judge();
      // Without this, a context stays silent for good after the system had it.
      if (context.state !== 'running') this.#resume();
    });
    this.#resume();
    return context;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const name of GESTURES) globalThis.removeEventListener(name, this.#wake, { capture: true });
    document.removeEventListener('visibilitychange', this.#wake);
    navigator.mediaDevices.removeEventListener('devicechange', this.#wake);
    // Firefox says 'closed' only later, and refuses a second close as an error.
    for (const context of this.#contexts) context.close().catch(() => undefined);
  }

  #resume(): void {
    if (this.#closed || this.#allRun) return;
    for (const context of this.#contexts) {
      // The promise stays open until the browser lets it run: what became of it is seen by its state.
      if (context.state !== 'running') context.resume().then(() => this.#judge(), ignore);
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      const late = performance.now() - this.#startedAt >= START_MS;
      if (!this.#allRun && (late || this.#state !== 'starting')) this.#become('suspended');
      this.#resume();
    }, RETRY_MS);
  }

  get #allRun(): boolean {
    return this.#contexts.every(({ state }) => state === 'running');
  }

  #judge(): void {
    if (this.#closed) return;
    if (this.#allRun) this.#become('running');
    else if (this.#state === 'running') this.#become('suspended');
  }

  #become(state: AudioState): void {
    if (state === this.#state || this.#closed) return;
    this.#state = state;
    this.#changed(state);
  }
}

/** A context at this rate, or at the hardware's. */
export function newAudioContext(sampleRate?: number): AudioContext {
  return new AudioContext({ latencyHint: 'interactive', ...(sampleRate && { sampleRate }) });
}

const ignore = (): void => undefined;
