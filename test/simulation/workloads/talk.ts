import { type Role, StreamChecker } from '../checkers/streams.ts';
import type { Carrier } from './carrier.ts';
import type { StreamPlan } from './plan.ts';
import { Side } from './side.ts';

export interface TalkOptions {
  readonly name: string;
  readonly streams: readonly StreamPlan[];
  /** Streams that are reset early may never be shown to their reader (draft-ietf-webtrans-http3 §4.4). */
  readonly resetsHide: boolean;
  /** All streams are over. */
  readonly onSettled: () => void;
}

/** Runs `action` later, unless the host of that side has crashed by then. */
export type Later = (ms: number, action: () => void) => void;

/** All streams and datagrams that two applications exchange over one carrier. They know each other only by the plan. */
export class Talk {
  readonly checker: StreamChecker;
  readonly #options: TalkOptions;
  readonly #plans = new Map<number, StreamPlan>();
  readonly #settled = new Set<string>();
  readonly #halves: number;
  readonly sides: { client: Side | undefined; server: Side | undefined } = {
    client: undefined,
    server: undefined,
  };

  constructor(options: TalkOptions) {
    this.#options = options;
    this.checker = new StreamChecker(options.name);
    this.#halves = options.streams.reduce((sum, { back }) => sum + (back === undefined ? 2 : 4), 0);
  }

  get isSettled(): boolean {
    return this.#settled.size === this.#halves;
  }

  /** What is still to happen, for messages. */
  get progress(): string {
    return `${this.#settled.size} of ${this.#halves} ends of streams are settled`;
  }

  /** The carrier is open on this side: its application starts. `opened` is told of each stream that it opens. */
  start(role: Role, carrier: Carrier, later: Later, opened: (streamId: number) => void): Side {
    const side = new Side(
      role,
      carrier,
      {
        later,
        planOf: (streamId) => this.#plans.get(streamId),
        opened: (streamId, plan) => {
          this.#plans.set(streamId, plan);
          opened(streamId);
        },
        settled: (streamId, writer, who) => this.#settle(`${streamId} ${writer} ${who}`),
        reset: (streamId, writer) => this.#mayHide(streamId, writer),
      },
      this.checker,
    );
    this.sides[role] = side;
    for (const plan of this.#options.streams)
      if (plan.opener === role) later(plan.startMs, () => side.open(plan));
    return side;
  }

  #settle(...ends: readonly string[]): void {
    for (const end of ends) this.#settled.add(end);
    if (this.isSettled) this.#options.onSettled();
  }

  #mayHide(streamId: number, writer: Role): void {
    const plan = this.#plans.get(streamId);
    if (!this.#options.resetsHide || plan?.opener !== writer) return;
    const reader = writer === 'client' ? 'server' : 'client';
    const ends = [`${streamId} ${writer} reader`];
    if (plan.back !== undefined) ends.push(`${streamId} ${reader} writer`);
    this.checker.onMayHide(streamId, reader);
    this.#settle(...ends);
  }
}
