import { type Invariant, Violation } from '../violation.ts';
import type { Role } from './streams.ts';

const MAX_REASON_OCTETS = 1024;

interface Close {
  readonly code: number;
  readonly reason: string;
}

/** What one side did with a session, and what it was told of it. */
interface Part {
  open: boolean;
  over: boolean;
  drains: boolean;
  drainTold: boolean;
  closes: Close | undefined;
}

interface Session {
  readonly path: string;
  requested: boolean;
  /** Of the server. */
  status: number | undefined;
  readonly client: Part;
  readonly server: Part;
}

const newPart = (): Part => ({
  open: false,
  over: false,
  drains: false,
  drainTold: false,
  closes: undefined,
});

/** The reason as it may be sent: the characters that fit, no half one. */
function cutReason(reason: string): string {
  let octets = 0;
  let out = '';
  for (const character of reason) {
    octets += Buffer.byteLength(character);
    if (octets > MAX_REASON_OCTETS) return out;
    out += character;
  }
  return out;
}

/** Holds the sessions and requests of one connection to what its two applications did. They tell it; it decides nothing. */
export class SessionChecker {
  readonly #call: string;
  readonly #sessions = new Map<number, Session>();
  readonly #requests = new Map<number, { readonly path: string; seen: boolean; answered: boolean }>();
  readonly #isLost: () => boolean;
  #goAway = false;

  /** `isLost` says whether the connection is over on either side: then any session may have been cut off. */
  constructor(call: string, isLost: () => boolean) {
    this.#call = call;
    this.#isLost = isLost;
  }

  #fail(sessionId: number, what: string, invariant: Invariant = 'sessions'): never {
    throw new Violation(invariant, `${this.#call}, session ${sessionId}: ${what}`);
  }

  #get(sessionId: number): Session {
    return this.#sessions.get(sessionId) ?? this.#fail(sessionId, 'it was not asked for');
  }

  /** What the client may still be waiting for. */
  get waiting(): string {
    const sessions = [...this.#sessions].filter(([, { client }]) => !client.over).map(([id]) => id);
    const requests = [...this.#requests].filter(([, { answered }]) => !answered).map(([id]) => id);
    return `sessions [${sessions.join(', ')}] and requests [${requests.join(', ')}] are not over`;
  }

  onAsked(sessionId: number, path: string): void {
    this.#sessions.set(sessionId, {
      path,
      requested: false,
      status: undefined,
      client: newPart(),
      server: newPart(),
    });
  }

  onRequested(sessionId: number, path: string): void {
    const session = this.#get(sessionId);
    if (session.requested) this.#fail(sessionId, 'the server was asked for it twice');
    if (path !== session.path) this.#fail(sessionId, `the server was asked for ${path}, not ${session.path}`);
    session.requested = true;
  }

  onAnswered(sessionId: number, status: number): void {
    const session = this.#get(sessionId);
    session.status = status;
    if (status < 300) session.server.open = true;
    else session.server.over = true;
  }

  onEstablished(sessionId: number, path: string | undefined): void {
    const { client, status, path: asked } = this.#get(sessionId);
    if (client.open || client.over) this.#fail(sessionId, 'it was established when it was known already');
    if (status === undefined || status >= 300)
      this.#fail(sessionId, `it was established, the answer was ${status}`);
    if (path !== asked) this.#fail(sessionId, `its answer names ${path}, not ${asked}`);
    client.open = true;
  }

  /** `turnedAway`: the server's HTTP/3 may have refused it before its application was asked. */
  onRejected(sessionId: number, status: number, turnedAway: boolean): void {
    const { client, status: answer } = this.#get(sessionId);
    if (client.open || client.over) this.#fail(sessionId, 'it was rejected when it was known already');
    const silent = status === 0 && (turnedAway || this.#goAway || this.#isLost());
    if (!silent && status !== answer)
      this.#fail(sessionId, `it was rejected with ${status}, the answer was ${answer}`);
    client.over = true;
  }

  onGoAway(): void {
    this.#goAway = true;
  }

  onDrains(sessionId: number, role: Role): void {
    this.#get(sessionId)[role].drains = true;
  }

  onDraining(sessionId: number, role: Role): void {
    const session = this.#get(sessionId);
    const { drains } = session[role === 'client' ? 'server' : 'client'];
    if (!drains && !this.#goAway) this.#fail(sessionId, `the ${role} was told of a drain that was not begun`);
    if (session[role].drainTold) this.#fail(sessionId, `the ${role} was told of its drain twice`);
    if (session[role].over) this.#fail(sessionId, `the ${role} was told of its drain when it was over`);
    session[role].drainTold = true;
  }

  onCloses(sessionId: number, role: Role, code: number, reason: string): void {
    this.#get(sessionId)[role].closes ??= { code, reason };
  }

  onClosed(sessionId: number, role: Role, told: Close & { readonly clean: boolean }): void {
    const session = this.#get(sessionId);
    const mine = session[role];
    const theirs = session[role === 'client' ? 'server' : 'client'];
    if (mine.over) this.#fail(sessionId, `the ${role} was told of its end twice`);
    mine.over = true;
    const by = mine.closes ?? theirs.closes;
    if (!told.clean) {
      // A client that gives up before the answer resets its request: there is no close to be told.
      const cancelled = role === 'server' && theirs.closes !== undefined && !theirs.open;
      if (!this.#isLost() && !cancelled) this.#fail(sessionId, `the ${role} saw it cut off: ${told.reason}`);
      return;
    }
    if (by === undefined) this.#fail(sessionId, `the ${role} saw it closed, neither side had closed it`);
    const reason = by === mine.closes ? by.reason : cutReason(by.reason);
    if (told.code !== by.code || told.reason !== reason)
      this.#fail(sessionId, `the ${role} saw it closed with ${told.code}, it was closed with ${by.code}`);
    // Drain and close are on one stream: the one cannot come without the other.
    if (by === theirs.closes && theirs.drains && !mine.drainTold)
      this.#fail(sessionId, `the ${role} saw it closed and was never told of its drain`);
  }

  /** Something of the session was shown to the application. */
  onShown(sessionId: number, role: Role, what: string): void {
    const part = this.#get(sessionId)[role];
    if (part.over) this.#fail(sessionId, `the ${role} saw ${what} when it was over`);
    if (!part.open) this.#fail(sessionId, `the ${role} saw ${what} before it was open`);
  }

  isOver(sessionId: number, role: Role): boolean {
    return this.#get(sessionId)[role].over;
  }

  onSent(streamId: number, path: string): void {
    this.#requests.set(streamId, { path, seen: false, answered: false });
  }

  onRequest(streamId: number, path: string): void {
    const request = this.#requests.get(streamId);
    if (request === undefined || request.seen || request.path !== path)
      throw new Violation('requests', `${this.#call}: request ${path} on stream ${streamId} was not sent so`);
    request.seen = true;
  }

  /** The client's request is over: answered, or failed for a reason that is fair. */
  onResponse(streamId: number, fault: string | undefined): void {
    const request = this.#requests.get(streamId);
    const unfair = fault !== undefined && !this.#goAway && !this.#isLost();
    if (request === undefined || request.answered || unfair) {
      const what = unfair ? fault : 'an answer came without a request';
      throw new Violation('requests', `${this.#call}, request on stream ${streamId}: ${what}`);
    }
    request.answered = true;
  }

  get isAllOver(): boolean {
    for (const { client } of this.#sessions.values()) if (!client.over) return false;
    for (const { answered } of this.#requests.values()) if (!answered) return false;
    return true;
  }

  /** All is over and nothing is on its way any more. */
  onSettled(): void {
    for (const [sessionId, { requested, server }] of this.#sessions) {
      if (requested && !server.over) this.#fail(sessionId, 'the server was never told of its end');
    }
  }
}
