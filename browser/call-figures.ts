import type { ReadyMessage, ServerMessage, StatsMessage } from '../proto/voice/index.ts';
import type { CallStats } from './call-types.ts';
import type { Carrier } from './dial.ts';

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
  #carrier: Carrier | undefined;
  #resumptions = 0;

  /** Time since the call began, in ms. */
  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** The same at another moment of the page's clock. */
  elapsedAt(now: number): number {
    return Math.max(0, now - this.#startedAt);
  }

  /** A session stands. */
  sessionOpened(carrier: Carrier): void {
    this.#carrier = carrier;
    this.#sessionMs ??= this.elapsedMs;
  }

  /** The backend of a session is ready: the first one, or one that took the call over. */
  ready(message: ReadyMessage): void {
    if (this.#ready === undefined) this.#readyMs = this.elapsedMs;
    else this.#resumptions += 1;
    this.#ready = message;
    this.#behindMs = 0;
  }

  /** Notes what a message of the backend says in figures. */
  take(message: ServerMessage): void {
    switch (message.type) {
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
      case 'parley.ready':
      case 'parley.received':
      case 'parley.checkpoint':
      case 'parley.rewind':
      case 'parley.conversation':
      case 'parley.move':
      case 'parley.playback.clear':
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
    | 'carrier'
    | 'resumptions'
    | 'backend'
    | 'serverId'
    | 'pathChanges'
    | 'forwarderChanges'
    | 'behindMs'
    | 'transport'
  > {
    return {
      sessionId: this.#ready?.call.callId,
      sessionMs: this.#sessionMs,
      readyMs: this.#readyMs,
      handshakeMs: this.#stats?.handshakeMs ?? this.#ready?.handshakeMs ?? undefined,
      carrier: this.#carrier,
      resumptions: this.#resumptions,
      backend: this.#ready?.backend,
      serverId: this.#ready?.serverId,
      pathChanges: this.#pathChanges,
      forwarderChanges: this.#forwarderChanges,
      behindMs: this.#behindMs,
      transport: this.#stats,
    };
  }
}
