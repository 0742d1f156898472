import type { ServiceObserver } from '../../server/realtime/local/index.ts';

/** An answer that an upstream made, or began to make. */
export interface LoggedAnswer {
  readonly itemId: string;
  readonly responseId: string;
  readonly pcm: Buffer[];
  /** Its response was completed. */
  completed: boolean;
}

/** What one session of the local realtime service was given and gave. */
export interface LoggedSession {
  readonly id: string;
  /** Microphone audio as it came, with `performance.now()` of each piece. */
  readonly appends: { readonly at: number; readonly pcm: Buffer }[];
  /** Items that it was given, in order. */
  readonly created: { readonly id?: string; readonly role?: string; readonly content?: unknown }[];
  readonly answers: Map<string, LoggedAnswer>;
  /** Types of the events that it sent. */
  readonly sent: string[];
}

interface ServiceEvent {
  readonly type?: unknown;
  readonly item?: LoggedSession['created'][number];
  readonly item_id?: string;
  readonly response_id?: string;
  readonly delta?: string;
  readonly response?: { readonly id: string; readonly status: string };
}

/** Keeps all that the sessions of the local realtime service were given and gave, for comparison with what the page said and heard. */
export class UpstreamLog implements ServiceObserver {
  /** In the order in which they began. */
  readonly sessions: LoggedSession[] = [];
  readonly #byId = new Map<string, LoggedSession>();
  readonly #watchers = new Set<(session: LoggedSession) => void>();

  get last(): LoggedSession | undefined {
    return this.sessions.at(-1);
  }

  /** Another call begins. */
  clear(): void {
    this.sessions.length = 0;
    this.#byId.clear();
  }

  onAppend(sessionId: string, pcm: Uint8Array): void {
    const session = this.#session(sessionId);
    session.appends.push({ at: performance.now(), pcm: Buffer.from(pcm) });
    this.#changed(session);
  }

  onEvent(direction: 'in' | 'out', sessionId: string, event: ServiceEvent): void {
    const session = this.#session(sessionId);
    if (direction === 'in') {
      if (event.type === 'conversation.item.create' && event.item) session.created.push(event.item);
      return;
    }
    session.sent.push(String(event.type));
    if (event.type === 'response.output_audio.delta') {
      const itemId = event.item_id!;
      const answer = session.answers.get(itemId) ?? {
        itemId,
        responseId: event.response_id!,
        pcm: [],
        completed: false,
      };
      session.answers.set(itemId, answer);
      answer.pcm.push(Buffer.from(event.delta!, 'base64'));
    } else if (event.type === 'response.done') {
      for (const answer of session.answers.values())
        if (answer.responseId === event.response?.id)
          answer.completed = event.response.status === 'completed';
    }
    this.#changed(session);
  }

  /** Fulfils with the first session that fulfils `condition`, looking at each piece of audio and each event as it comes. */
  when(condition: (session: LoggedSession) => boolean): Promise<LoggedSession> {
    return new Promise((resolve) => {
      const watch = (session: LoggedSession) => {
        if (!condition(session)) return;
        this.#watchers.delete(watch);
        resolve(session);
      };
      this.#watchers.add(watch);
    });
  }

  #changed(session: LoggedSession): void {
    for (const watch of this.#watchers) watch(session);
  }

  #session(id: string): LoggedSession {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const session: LoggedSession = { id, appends: [], created: [], answers: new Map(), sent: [] };
    this.#byId.set(id, session);
    this.sessions.push(session);
    return session;
  }
}

/** All microphone audio of a session. */
export function audioOf(session: LoggedSession): Buffer {
  return Buffer.concat(session.appends.map(({ pcm }) => pcm));
}
