import type { WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { must } from './tape.ts';

const PROMISE = 'events come in order';

/** Holds what a WebTransport connection tells its owner to an order that an owner can rely on. */
export class EventOrder {
  readonly #isServer: boolean;
  readonly #open = new Set<number>();
  readonly #asked = new Set<number>();
  readonly #over = new Set<number>();
  /** The session of each stream that the owner knows. */
  readonly #streams = new Map<number, number>();
  #closed = false;

  constructor(role: 'client' | 'server') {
    this.#isServer = role === 'server';
  }

  /** The owner opened a stream. */
  onOpened(streamId: number, sessionId: number): void {
    this.#streams.set(streamId, sessionId);
  }

  /** The owner asked for a session, or accepted one. */
  onAsked(sessionId: number): void {
    this.#asked.add(sessionId);
  }

  onAccepted(sessionId: number): void {
    if (!this.#over.has(sessionId)) this.#open.add(sessionId);
  }

  check(event: WebTransportEvent): void {
    must(!this.#closed, PROMISE, `${event.type} after closed`);
    switch (event.type) {
      case 'sessionRequested':
        must(this.#isServer && !this.#asked.has(event.sessionId), PROMISE, `${event.type} twice`);
        this.#asked.add(event.sessionId);
        return;
      case 'sessionEstablished':
        must(!this.#isServer && this.#asked.has(event.sessionId), PROMISE, `${event.type} without a request`);
        must(!this.#over.has(event.sessionId), PROMISE, `${event.type} when it was over`);
        this.#open.add(event.sessionId);
        return;
      case 'sessionRejected':
      case 'sessionClosed':
        must(this.#asked.has(event.sessionId), PROMISE, `${event.type} of an unknown session`);
        must(!this.#over.has(event.sessionId), PROMISE, `${event.type} when it was over`);
        this.#over.add(event.sessionId);
        this.#open.delete(event.sessionId);
        return;
      case 'sessionDraining':
        must(!this.#over.has(event.sessionId), PROMISE, `${event.type} when it was over`);
        return;
      case 'streamOpened':
        must(!this.#streams.has(event.streamId), PROMISE, 'a stream was opened twice');
        this.#mustBeOpen(event.sessionId, event.type);
        this.#streams.set(event.streamId, event.sessionId);
        return;
      case 'datagram':
        this.#mustBeOpen(event.sessionId, event.type);
        return;
      case 'streamReadable':
      case 'streamWritable':
      case 'streamFinished':
      case 'streamReset':
      case 'streamStopped': {
        const sessionId = this.#streams.get(event.streamId);
        must(sessionId !== undefined, PROMISE, `${event.type} of an unknown stream`);
        this.#mustBeOpen(sessionId!, event.type);
        return;
      }
      case 'closed':
        this.#closed = true;
        must(this.#open.size === 0, PROMISE, 'closed, and sessions are still open');
        return;
      default:
    }
  }

  #mustBeOpen(sessionId: number, what: string): void {
    must(this.#open.has(sessionId), PROMISE, `${what} of session ${sessionId}, which is not open`);
  }
}
