import type { CloseReason, QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import { type Role, StreamChecker } from '../checkers/streams.ts';
import type { CallPlan, StreamPlan } from './plan.ts';
import { Side, type SideHost } from './side.ts';

export const CLOSE_CODE = 0x1d1e;
const CLOSE_REASON = 'all is said';
/** Between the last stream's end and the close, so that last acknowledgements cross. */
const CLOSE_AFTER_MS = 5;

/** How one side's part in a call ended. */
export type Ending = CloseReason | { readonly kind: 'crashed' };

/** What a call needs of the host of one of its sides. */
export interface CallHost {
  later(ms: number, action: () => void): void;
  migrate(connection: QuicConnection): void;
  meet(what: string): void;
}

/** A connection with both of its applications. The two sides know each other only where the plan says what they do. */
export class Call {
  readonly name: string;
  readonly plan: CallPlan;
  readonly checker: StreamChecker;
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
  connectedAt: number | undefined;
  /** The side that was told to close, once all streams were over. */
  closedBy: Role | undefined;
  /** The life of the backend that took it. */
  backendLife: number | undefined;
  #client: Side | undefined;
  #server: Side | undefined;
  readonly #streams = new Map<number, StreamPlan>();
  readonly #settled = new Set<string>();
  readonly #halves: number;
  /** Hosts of the sides, by role. */
  readonly #hosts: { client: CallHost | undefined; server: CallHost | undefined } = {
    client: undefined,
    server: undefined,
  };

  constructor(name: string, plan: CallPlan, now: number, redialsLeft: number) {
    this.name = name;
    this.plan = plan;
    this.dialledAt = now;
    this.redialsLeft = redialsLeft;
    this.checker = new StreamChecker(name);
    this.#halves = plan.streams.reduce((sum, { back }) => sum + (back === undefined ? 2 : 4), 0);
  }

  get isSettled(): boolean {
    return this.#settled.size === this.#halves;
  }

  get isOver(): boolean {
    return this.endings.client !== undefined;
  }

  /** What is still to happen, for messages. */
  get progress(): string {
    return `${this.#settled.size} of ${this.#halves} ends of streams are settled`;
  }

  get serverConnection(): QuicConnection | undefined {
    return this.#server?.connection;
  }

  /** A side's connection is complete: its application starts. */
  start(connection: QuicConnection, host: CallHost, now: number): void {
    const { role } = connection;
    const side = new Side(connection, this.#sideHost(host), this.checker);
    if (role === 'client') {
      this.#client = side;
      this.connectedAt = now;
    } else this.#server = side;
    this.#hosts[role] = host;
    for (const plan of this.plan.streams)
      if (plan.opener === role) host.later(plan.startMs, () => side.open(plan));
    for (const { by, kind, atMs } of this.plan.actions)
      if (by === role) host.later(atMs, () => side.act(kind));
    if (this.#halves === 0) this.#closeSoon();
  }

  #sideHost(host: CallHost): SideHost {
    return {
      later: host.later.bind(host),
      migrate: host.migrate.bind(host),
      meet: host.meet.bind(host),
      planOf: (streamId) => this.#streams.get(streamId),
      opened: (streamId, plan) => this.#streams.set(streamId, plan),
      settled: (streamId, writer, who) => {
        this.#settled.add(`${streamId} ${writer} ${who}`);
        if (this.isSettled) this.#closeSoon();
      },
    };
  }

  #closeSoon(): void {
    if (this.closedBy !== undefined) return;
    const { closeBy } = this.plan;
    const side = closeBy === 'client' ? this.#client : this.#server;
    if (side === undefined) return;
    this.closedBy = closeBy;
    this.checker.onSettled();
    this.#hosts[closeBy]?.later(CLOSE_AFTER_MS, () => side.connection.close(CLOSE_CODE, CLOSE_REASON));
  }

  /** How a side's part ended; the first word counts. */
  end(role: Role, ending: Ending, now: number): void {
    this.endings[role] ??= ending;
    this.endedAt[role] ??= now;
  }

  handle(role: Role, event: QuicEvent, now: number): void {
    if (event.type === 'closed') this.end(role, event.reason, now);
    else (role === 'client' ? this.#client : this.#server)?.handle(event);
  }
}
