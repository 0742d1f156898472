import type { QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import type { WebTransportConnection, WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { SessionChecker } from '../checkers/sessions.ts';
import { patternAt, type Role } from '../checkers/streams.ts';
import { Violation } from '../violation.ts';
import { SessionCarrier } from './carrier.ts';
import type { RequestPlan, SessionPlan, WebPlan } from './plan.ts';
import { Talk } from './talk.ts';
import type { CallHost, Work, WorkCall } from './work.ts';

/** Between the last stream's end and the close of its session. */
const CLOSE_AFTER_MS = 5;
/** How often, and how many times, the sides are looked at when all sessions are over: until nothing is left of them. */
const LOOK_EVERY_MS = 20;
const MAX_LOOKS = 1500;
const LOOKS_PER_PING = 100;
/** What HTTP/3 itself keeps: a control stream each way. Without a dynamic table QPACK opens none. */
const STREAMS_OF_HTTP3 = 2;
const PATH_HEADER = 'x-session';

/** The body of a request, known by its path, or of the answer to it: says by its octets which one it is. */
function bodyOf(path: string, writer: Role, octets: number): Uint8Array {
  return patternAt(Number(path.slice(path.lastIndexOf('/') + 1)), writer, 0, octets).slice();
}

/** Events that say how it goes with a session or a request. */
const TOLD: ReadonlySet<WebTransportEvent['type']> = new Set([
  'sessionRequested',
  'sessionEstablished',
  'sessionRejected',
  'sessionDraining',
  'sessionClosed',
  'streamReset',
  'streamStopped',
  'goAway',
  'response',
  'requestFailed',
]);

function describe(event: WebTransportEvent): string {
  const fields = Object.entries(event).filter(
    ([name, value]) => name !== 'type' && (typeof value !== 'object' || value === undefined),
  );
  return `${event.type} ${fields.map(([name, value]) => `${name} ${String(value).slice(0, 40)}`).join(', ')}`;
}

interface Session {
  readonly plan: SessionPlan;
  readonly path: string;
  readonly talk: Talk;
}

/** One side's application over HTTP/3. */
interface WebSide {
  readonly role: Role;
  readonly connection: QuicConnection;
  readonly web: WebTransportConnection;
  readonly carriers: Map<number, SessionCarrier>;
  readonly sessionOf: Map<number, number>;
  readonly later: (ms: number, action: () => void) => void;
  readonly meet: (what: string) => void;
  readonly note: (text: () => string) => void;
}

/** Sessions of WebTransport with their streams and datagrams, plain requests, and GOAWAY, over one HTTP/3 connection. */
export class WebWork implements Work {
  readonly #name: string;
  readonly #plan: WebPlan;
  readonly #call: WorkCall;
  readonly #onDone: () => void;
  readonly #checker: SessionChecker;
  readonly #sides = new Map<Role, WebSide>();
  readonly #sessions = new Map<number, Session>();
  readonly #requests = new Map<number, { readonly plan: RequestPlan; readonly path: string }>();
  /** Sessions and requests that the client has yet to begin. */
  #planned: number;
  #looks = 0;

  constructor(name: string, plan: WebPlan, call: WorkCall, onDone: () => void) {
    this.#name = name;
    this.#plan = plan;
    this.#call = call;
    this.#onDone = onDone;
    this.#planned = plan.sessions.length + plan.requests.length;
    this.#checker = new SessionChecker(name, () => this.#isLost);
  }

  get progress(): string {
    return `${this.#planned} not begun, ${this.#checker.waiting}`;
  }

  /** The connection is over on one side at least. */
  get #isLost(): boolean {
    const { client, server } = this.#call.endings;
    if (client !== undefined || server !== undefined) return true;
    for (const { connection } of this.#sides.values()) if (connection.closed) return true;
    return false;
  }

  start(connection: QuicConnection, host: CallHost): void {
    const { role } = connection;
    const side: WebSide = {
      role,
      connection,
      web: connection.context as WebTransportConnection,
      carriers: new Map(),
      sessionOf: new Map(),
      meet: host.meet.bind(host),
      note: host.note.bind(host),
      later: (ms, action) =>
        host.later(ms, () => {
          action();
          this.#pump(side);
        }),
    };
    this.#sides.set(role, side);
    if (role === 'client') this.#begin(side);
    else if (this.#plan.goAwayAtMs !== undefined)
      side.later(this.#plan.goAwayAtMs, () => {
        if (connection.closed) return;
        this.#checker.onGoAway();
        side.web.goAway();
      });
    this.#pump(side);
    if (this.#planned === 0) this.#whenAllOver();
  }

  #begin(side: WebSide): void {
    this.#plan.sessions.forEach((plan, index) => {
      side.later(plan.startMs, () => this.#ask(side, plan, `/session/${index}`));
    });
    this.#plan.requests.forEach((plan, index) => {
      side.later(plan.atMs, () => this.#request(side, plan, `/request/${index}`));
    });
  }

  #ask(side: WebSide, plan: SessionPlan, path: string): void {
    this.#planned -= 1;
    if (side.web.goingAway || side.connection.closed) {
      this.#whenAllOver();
      return;
    }
    const sessionId = side.web.connectSession({ authority: 'simulation', path });
    this.#checker.onAsked(sessionId, path);
    const talk = new Talk({
      name: `${this.#name}, session ${sessionId}`,
      streams: plan.streams,
      resetsHide: true,
      onSettled: () => this.#endWhenSettled(sessionId),
    });
    this.#sessions.set(sessionId, { plan, path, talk });
    if (plan.end.cancel) side.later(plan.end.atMs ?? 0, () => this.#close(side, sessionId));
  }

  #request(side: WebSide, plan: RequestPlan, path: string): void {
    this.#planned -= 1;
    if (side.web.goingAway || side.connection.closed) {
      this.#whenAllOver();
      return;
    }
    const body = bodyOf(path, 'client', plan.bodyOctets);
    const streamId = side.web.request({ method: 'POST', authority: 'simulation', path, body });
    this.#requests.set(streamId, { plan, path });
    this.#checker.onSent(streamId, path);
  }

  /** Every QUIC event has gone to the WebTransport machine already. */
  handle(role: Role, _event: QuicEvent): void {
    const side = this.#sides.get(role);
    if (side !== undefined) this.#pump(side);
  }

  #pump(side: WebSide): void {
    for (let event = side.web.poll(); event !== undefined; event = side.web.poll()) this.#told(side, event);
  }

  #told(side: WebSide, event: WebTransportEvent): void {
    if (TOLD.has(event.type)) side.note(() => `${this.#name}: ${describe(event)}`);
    switch (event.type) {
      case 'sessionRequested':
        this.#checker.onRequested(event.sessionId, event.path);
        this.#answerLater(side, event.sessionId);
        return;
      case 'sessionEstablished': {
        const path = event.headers.find(([name]) => name === PATH_HEADER)?.[1];
        this.#checker.onEstablished(event.sessionId, path);
        this.#open(side, event.sessionId);
        return;
      }
      case 'sessionRejected':
        this.#checker.onRejected(event.sessionId, event.status, this.#sessions.size > 1);
        side.meet(event.status === 0 ? 'session turned away' : 'session refused');
        this.#whenAllOver();
        return;
      case 'sessionDraining':
        this.#checker.onDraining(event.sessionId, side.role);
        side.meet('session draining');
        return;
      case 'sessionClosed':
        this.#closed(side, event);
        return;
      case 'request':
      case 'response':
      case 'requestFailed':
        this.#plainRequest(side, event);
        return;
      case 'goAway':
        side.meet('GOAWAY');
        return;
      case 'closed':
        return;
      default:
        this.#streamEvent(side, event);
    }
  }

  #streamEvent(side: WebSide, event: WebTransportEvent): void {
    const { role, sessionOf } = side;
    if (event.type === 'streamsAvailable') {
      for (const { talk } of this.#sessions.values()) talk.sides[role]?.handle(event);
      return;
    }
    if (event.type === 'streamOpened') sessionOf.set(event.streamId, event.sessionId);
    const sessionId =
      'sessionId' in event ? event.sessionId : sessionOf.get((event as { streamId: number }).streamId);
    if (sessionId === undefined)
      throw new Violation(
        'sessions',
        `${this.#name}: the ${role} saw ${event.type} of a stream of no session`,
      );
    this.#checker.onShown(sessionId, role, event.type);
    if (event.type === 'streamReset' || event.type === 'streamStopped')
      side.meet(event.code === undefined ? `web ${event.type} by the protocol` : `web ${event.type}`);
    else if (event.type === 'datagram') side.meet('web datagram');
    this.#sessions.get(sessionId)?.talk.sides[role]?.handle(event);
  }

  #answerLater(side: WebSide, sessionId: number): void {
    const { answerAfterMs } = this.#sessions.get(sessionId)!.plan;
    if (answerAfterMs === 0) this.#answer(side, sessionId);
    else side.later(answerAfterMs, () => this.#answer(side, sessionId));
  }

  #answer(side: WebSide, sessionId: number): void {
    if (this.#checker.isOver(sessionId, 'server') || side.connection.closed) return;
    const { plan, path } = this.#sessions.get(sessionId)!;
    this.#checker.onAnswered(sessionId, plan.status);
    if (plan.status >= 300) {
      side.web.rejectSession(sessionId, plan.status);
      return;
    }
    side.web.acceptSession(sessionId, [[PATH_HEADER, path]]);
    this.#open(side, sessionId);
  }

  /** The session is open on this side: its application starts. */
  #open(side: WebSide, sessionId: number): void {
    const { role, later } = side;
    const { plan, talk } = this.#sessions.get(sessionId)!;
    const carrier = new SessionCarrier(side.web, sessionId);
    side.carriers.set(sessionId, carrier);
    side.meet('session opened');
    talk.start(role, carrier, later, (streamId) => side.sessionOf.set(streamId, sessionId));
    if (plan.drain?.by === role) later(plan.drain.atMs, () => this.#drain(side, sessionId));
    const { end } = plan;
    if (end.atMs !== undefined && !end.cancel && (end.by === role || end.by === 'both'))
      later(end.atMs, () => this.#close(side, sessionId));
    else if (talk.isSettled) this.#endWhenSettled(sessionId);
  }

  #drain(side: WebSide, sessionId: number): void {
    if (side.carriers.get(sessionId)?.closed !== false || side.connection.closed) return;
    this.#checker.onDrains(sessionId, side.role);
    side.web.drainSession(sessionId);
  }

  #endWhenSettled(sessionId: number): void {
    const { plan, talk } = this.#sessions.get(sessionId)!;
    const { by, atMs, cancel } = plan.end;
    if (atMs !== undefined && !cancel) return;
    for (const side of this.#sides.values()) {
      if (by !== side.role && by !== 'both') continue;
      if (!side.carriers.has(sessionId)) continue;
      side.later(CLOSE_AFTER_MS, () => {
        if (side.carriers.get(sessionId)?.closed === false && !side.connection.closed)
          talk.checker.onSettled();
        this.#close(side, sessionId);
      });
    }
  }

  #close(side: WebSide, sessionId: number): void {
    const { plan, talk } = this.#sessions.get(sessionId)!;
    if (this.#checker.isOver(sessionId, side.role) || side.connection.closed) return;
    const { by, code, reason } = plan.end;
    // Where both close, each does so in its own words.
    const mine =
      by === 'both' && side.role === 'server'
        ? { code: code ^ 1, reason: `not ${reason}` }
        : { code, reason };
    if (plan.end.cancel && side.carriers.has(sessionId)) side.meet('session cancelled too late');
    talk.checker.onCut();
    this.#checker.onCloses(sessionId, side.role, mine.code >>> 0, mine.reason);
    side.web.closeSession(sessionId, mine.code >>> 0, mine.reason);
  }

  #closed(side: WebSide, event: Extract<WebTransportEvent, { type: 'sessionClosed' }>): void {
    const { sessionId, clean } = event;
    this.#checker.onClosed(sessionId, side.role, event);
    side.meet(clean ? 'session closed' : 'session cut off');
    this.#sessions.get(sessionId)!.talk.checker.onCut();
    const carrier = side.carriers.get(sessionId);
    if (carrier !== undefined) carrier.closed = true;
    this.#whenAllOver();
  }

  #plainRequest(
    side: WebSide,
    event: Extract<WebTransportEvent, { type: 'request' | 'response' | 'requestFailed' }>,
  ): void {
    const { streamId } = event;
    const { plan, path } = this.#requests.get(streamId)!;
    if (event.type === 'request') {
      const body = bodyOf(path, 'client', plan.bodyOctets);
      if (Buffer.compare(event.body, body) !== 0)
        throw new Violation('requests', `${this.#name}: the body of ${event.path} came changed`);
      this.#checker.onRequest(streamId, event.path);
      side.web.respond(streamId, plan.status, [], bodyOf(path, 'server', plan.answerOctets));
      return;
    }
    const fault = event.type === 'response' ? undefined : `it failed: ${event.reason}`;
    this.#checker.onResponse(streamId, fault);
    if (event.type === 'response') {
      side.meet('request answered');
      const body = bodyOf(path, 'server', plan.answerOctets);
      if (event.status !== plan.status || Buffer.compare(event.body, body) !== 0)
        throw new Violation(
          'requests',
          `${this.#name}: stream ${streamId} was answered with ${event.status} and other octets`,
        );
    }
    this.#whenAllOver();
  }

  /** The client has nothing more to wait for: waits until nothing is left of it on either side, then the call is done. */
  #whenAllOver(): void {
    if (this.#planned > 0 || !this.#checker.isAllOver || this.#looks > 0) return;
    this.#look();
  }

  #look(): void {
    const side = this.#sides.get(this.#call.plan.closeBy) ?? this.#sides.get('client');
    this.#looks += 1;
    if (side === undefined || this.#isLost) return;
    const left = this.#left();
    if (left === undefined) {
      this.#onDone();
      return;
    }
    if (this.#looks > MAX_LOOKS)
      throw new Violation(
        'leftovers',
        `${this.#name}: ${left} ${(MAX_LOOKS * LOOK_EVERY_MS) / 1000} s after all was over`,
      );
    // A NAT that rebinds in silence leaves the server without an address that works, until the client speaks.
    const client = this.#sides.get('client');
    if (this.#looks % LOOKS_PER_PING === 0) client?.later(0, () => client.connection.ping());
    side.later(LOOK_EVERY_MS, () => this.#look());
  }

  /** What is still there of sessions and requests. */
  #left(): string | undefined {
    for (const role of ['client', 'server'] as const) {
      const side = this.#sides.get(role);
      if (side === undefined) return `the ${role} is not there`;
      if (side.web.streamCount > 0) return `the ${role} tracks ${side.web.streamCount} streams of sessions`;
      const { streams } = side.connection.memory();
      if (streams > STREAMS_OF_HTTP3) return `${streams} streams are open at the ${role}`;
    }
    return undefined;
  }

  sendDatagrams(role: Role): void {
    for (const { talk } of this.#sessions.values()) talk.sides[role]?.sendDatagrams();
  }

  readonly onClosing = (): void => this.#checker.onSettled();
}
