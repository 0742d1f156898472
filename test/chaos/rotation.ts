import { metric } from '../support/metrics.ts';
import { type Program, until } from './house.ts';

/** An old rotation whose counters stand still for so long is used no more, in ms. */
const STILL_MS = 1500;
/** Most time for that, in ms. */
const MOVED_MS = 60_000;

/** Packets of the old and the new rotation that one forwarder has counted. */
export interface RotationCount {
  readonly forwarder: string;
  readonly old: number;
  readonly next: number;
}

/** A rotation as the forwarders' counters show it. */
export interface RotationReport {
  readonly old: number;
  readonly next: number;
  /** When backends begin to issue CIDs of the new one, when the old one is used no more, and when all is over. */
  readonly counts: Readonly<Record<'begun' | 'moved' | 'over', readonly RotationCount[]>>;
  /** From the first to the last packet of the old one, in ms. */
  readonly movedMs: number;
  /** Connections whose CIDs were still of the old one then, as backends say. */
  readonly leftToMove: number;
}

/** Follows one rotation, of which each step is the caller's. */
export class RotationWatch {
  readonly #programs: () => {
    readonly forwarders: readonly Program[];
    readonly backends: readonly Program[];
  };
  readonly #old: number;
  readonly #next: number;
  #begun: readonly RotationCount[] = [];
  #moved: readonly RotationCount[] = [];
  #begunAt = 0;
  #movedMs = 0;
  #leftToMove = 0;

  constructor(
    old: number,
    next: number,
    programs: () => { readonly forwarders: readonly Program[]; readonly backends: readonly Program[] },
  ) {
    this.#old = old;
    this.#next = next;
    this.#programs = programs;
  }

  /** Backends issue CIDs of the new rotation from now on. */
  async begin(): Promise<void> {
    this.#begunAt = performance.now();
    this.#begun = await this.#count();
  }

  /** Fulfils when no packet has a CID of the old rotation any more. Rejects when that takes more than a minute. */
  async untilMoved(): Promise<void> {
    let packets = -1;
    let changedAt = performance.now();
    const isStill = async () => {
      this.#moved = await this.#count();
      const now = this.#moved.reduce((sum, { old }) => sum + old, 0);
      if (now !== packets) changedAt = performance.now();
      packets = now;
      return performance.now() - changedAt > STILL_MS;
    };
    await until(isStill, `packets of rotation ${this.#old} to end`, MOVED_MS + STILL_MS);
    this.#movedMs = changedAt - this.#begunAt;
    const texts = await textsOf(this.#programs().backends);
    this.#leftToMove = texts.reduce((sum, text) => sum + metric(text, 'parley_connections_to_move'), 0);
  }

  /** What became of it. */
  async report(): Promise<RotationReport> {
    const counts = { begun: this.#begun, moved: this.#moved, over: await this.#count() };
    return {
      old: this.#old,
      next: this.#next,
      counts,
      movedMs: this.#movedMs,
      leftToMove: this.#leftToMove,
    };
  }

  async #count(): Promise<RotationCount[]> {
    const { forwarders } = this.#programs();
    const texts = await textsOf(forwarders);
    const packets = (text: string, rotation: number) =>
      metric(text, 'parley_forwarder_rotation_packets_total', { rotation: String(rotation) });
    return texts.map((text, i) => ({
      forwarder: forwarders[i]!.name,
      old: packets(text, this.#old),
      next: packets(text, this.#next),
    }));
  }
}

/** A program that is only starting says nothing. */
function textsOf(programs: readonly Program[]): Promise<string[]> {
  return Promise.all(programs.map((one) => one.metrics().catch(() => '')));
}
