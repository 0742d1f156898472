import type { Address, QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import type { Role } from '../checkers/streams.ts';
import type { ActionKind, CallPlan } from './plan.ts';
import { Talk } from './talk.ts';
import { WebWork } from './web.ts';
import type { CallHost, Ending, Work } from './work.ts';

export const CLOSE_CODE = 0x1d1e;
const CLOSE_REASON = 'all is said';
/** Between the last stream's end and the close, so that last acknowledgements cross. */
const CLOSE_AFTER_MS = 5;

/** Streams and datagrams of QUIC itself. */
class PlainWork implements Work {
  readonly #talk: Talk;
  readonly #onDone: () => void;
  readonly #empty: boolean;

  constructor(name: string, plan: CallPlan, onDone: () => void) {
    this.#onDone = onDone;
    this.#empty = plan.streams.length === 0;
    this.#talk = new Talk({ name, streams: plan.streams, resetsHide: false, onSettled: onDone });
  }

  get progress(): string {
    return this.#talk.progress;
  }

  start(connection: QuicConnection, host: CallHost): void {
    this.#talk.start(connection.role, connection, host.later.bind(host), () => {});
    if (this.#empty) this.#onDone();
  }

  handle(role: Role, event: QuicEvent): void {
    this.#talk.sides[role]?.handle(event);
  }

  sendDatagrams(role: Role): void {
    this.#talk.sides[role]?.sendDatagrams();
  }

  readonly onClosing = (): void => this.#talk.checker.onSettled();
}

/** A connection with both of its applications. The two sides know each other only where the plan says what they do. */
export class Call {
  readonly name: string;
  readonly plan: CallPlan;
  readonly redialsLeft: number;
  readonly endings: { client: Ending | undefined; server: Ending | undefined } = {
    client: undefined,
    server: undefined,
  };
  readonly endedAt: { client: number | undefined; server: number | undefined } = {
    client: undefined,
    server: undefined,
  };
  readonly dialledAt: number;
  /** What the client asks for: its own name, but for sessions that are resumed, which belong to a name. */
  readonly serverName: string;
  /** The client's own: the one from which it dials, then those it moves to. */
  readonly addresses: Address[] = [];
  connectedAt: number | undefined;
  /** The side that was told to close, once all streams were over. */
  closedBy: Role | undefined;
  /** The life of the backend that took it. */
  backendLife: number | undefined;
  readonly #work: Work;
  readonly #connections = new Map<Role, QuicConnection>();
  readonly #hosts = new Map<Role, CallHost>();

  constructor(name: string, plan: CallPlan, now: number, redialsLeft: number, serverName = name) {
    this.name = name;
    this.serverName = serverName;
    this.plan = plan;
    this.dialledAt = now;
    this.redialsLeft = redialsLeft;
    const done = (): void => this.#closeSoon();
    this.#work =
      plan.web === undefined ? new PlainWork(name, plan, done) : new WebWork(name, plan.web, this, done);
  }

  get isOver(): boolean {
    return this.endings.client !== undefined;
  }

  /** What is still to happen, for messages. */
  get progress(): string {
    return this.#work.progress;
  }

  connection(role: Role): QuicConnection | undefined {
    return this.#connections.get(role);
  }

  /** A side's connection is complete: its application starts. */
  start(connection: QuicConnection, host: CallHost, now: number): void {
    const { role } = connection;
    if (role === 'client') this.connectedAt = now;
    this.#connections.set(role, connection);
    this.#hosts.set(role, host);
    this.#work.start(connection, host);
    for (const { by, kind, atMs } of this.plan.actions)
      if (by === role) host.later(atMs, () => this.#act(connection, host, kind));
  }

  #act(connection: QuicConnection, host: CallHost, kind: ActionKind): void {
    if (connection.closed) return;
    if (kind === 'update keys') host.meet(connection.updateKeys() ? 'key update' : 'key update refused');
    else if (kind === 'rotate CIDs') connection.rotateConnectionIds();
    else if (kind === 'ping') connection.ping();
    else if (kind === 'migrate') host.migrate(connection);
    else this.#work.sendDatagrams(connection.role);
  }

  #closeSoon(): void {
    if (this.closedBy !== undefined) return;
    const { closeBy } = this.plan;
    const connection = this.#connections.get(closeBy);
    if (connection === undefined) return;
    this.closedBy = closeBy;
    this.#work.onClosing();
    this.#hosts.get(closeBy)?.later(CLOSE_AFTER_MS, () => connection.close(CLOSE_CODE, CLOSE_REASON));
  }

  /** How a side's part ended; the first word counts. */
  end(role: Role, ending: Ending, now: number): void {
    this.endings[role] ??= ending;
    this.endedAt[role] ??= now;
  }

  handle(role: Role, event: QuicEvent, now: number): void {
    if (event.type === 'closed') this.end(role, event.reason, now);
    this.#work.handle(role, event);
  }
}
