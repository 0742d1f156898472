import type { ReadyMessage, ServerMessage, StatsMessage } from '../proto/voice/index.ts';
import type { CallStats } from './call-types.ts';

/** The figures of the line, as the backend told them, and the times the page took. */
export class CallFigures {
  readonly #startedAt = performance.now();
  #ready: ReadyMessage | undefined;
  #sessionMs: number | undefined;
  #readyMs: number | undefined;
  #stats: StatsMessage | undefined;
  #pathChanges = 0;
  #forwarderChanges = 0;
  #behindMs = 0;

  /** Time since the call began, in ms. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** The WebTransport session stands. */
  sessionOpened(): void {
    this.#sessionMs = this.elapsedMs;
  }

  /** Notes what a message of the backend says in figures. */
  take(message: ServerMessage): void {
    switch (message.type) {
      case 'parley.ready':
        if (this.#ready !== undefined) break;
        this.#ready = message;
        this.#readyMs = this.elapsedMs;
        break;
      case 'parley.path_changed':
        this.#pathChanges = message.changes;
        break;
      case 'parley.forwarder_changed':
        this.#forwarderChanges = message.changes;
        break;
      case 'parley.behind':
        this.#behindMs = message.bufferedMs;
        break;
      case 'parley.stats':
        this.#stats = message;
        this.#pathChanges = Math.max(this.#pathChanges, message.pathChanges);
        break;
      case 'parley.playback.clear':
      case 'parley.microphone.received':
      case 'parley.draining':
      case 'parley.error':
        break; // without figures
    }
  }

  /** The line's part of the call's figures. */
  get line(): Pick<
    CallStats,
    | 'sessionId'
    | 'sessionMs'
    | 'readyMs'
    | 'handshakeMs'
    | 'backend'
    | 'serverId'
    | 'pathChanges'
    | 'forwarderChanges'
    | 'behindMs'
    | 'transport'
  > {
    return {
      sessionId: this.#ready?.sessionId,
      sessionMs: this.#sessionMs,
      readyMs: this.#readyMs,
      handshakeMs: this.#stats?.handshakeMs ?? this.#ready?.handshakeMs ?? undefined,
      backend: this.#ready?.backend,
      serverId: this.#ready?.serverId,
      pathChanges: this.#pathChanges,
      forwarderChanges: this.#forwarderChanges,
      behindMs: this.#behindMs,
      transport: this.#stats,
    };
  }
}
