import { answerParent, type Request } from './child.ts';

/** What loads of callers share, whatever carries their calls. */

/** 20 ms of PCM16 at 24 kHz. */
export const FRAME_OCTETS = 960;
export const FRAME_MS = 20;
/** Frames whose sending times are kept, for the time until they are heard back. */
const KEPT_TIMES = 1024;

/** When a caller's frames were said, and how long it took until each was heard back, in ms. */
export class FrameTimes {
  readonly #sentAt = new Float64Array(KEPT_TIMES);
  #sent = 0;
  #heard = 0;
  #heardOctets = 0;
  /** Since they were last forgotten. */
  readonly latencies: number[] = [];

  /** Frames that were said. */
  get sent(): number {
    return this.#sent;
  }

  /** One more frame is said. */
  say(nowMs = performance.now()): void {
    this.#sentAt[this.#sent % KEPT_TIMES] = nowMs;
    this.#sent += 1;
  }

  /** So many octets of PCM more were heard. The nth frame heard is taken for the nth that was said. */
  hear(octets: number, nowMs = performance.now()): void {
    this.#heardOctets += octets;
    const whole = Math.floor(this.#heardOctets / FRAME_OCTETS);
    for (; this.#heard < whole; this.#heard++)
      this.latencies.push(nowMs - this.#sentAt[this.#heard % KEPT_TIMES]!);
  }
}

/** A caller as a load drives it. */
export interface Caller {
  readonly times: FrameTimes;
  readonly closed: boolean;
  /** One frame each 20 ms from now on. */
  speak(): void;
  hush(): void;
}

/** Lets them speak, spread over the 20 ms, as callers are. */
export function speakInTurn(callers: readonly { speak(): void }[]): void {
  callers.forEach((caller, index) => {
    setTimeout(() => caller.speak(), (index * FRAME_MS) / callers.length);
  });
}

/** What callers of one load heard since they were reset. */
export function reportOf(callers: readonly Pick<Caller, 'times' | 'closed'>[]) {
  const latencies = callers.flatMap(({ times }) => times.latencies).sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return {
    datagramsIn: 0,
    datagramsOut: 0,
    frames: latencies.length,
    lost: callers.filter(({ closed }) => closed).length,
    medianMs: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
  };
}

/** Answers the parent for a load whose callers need nothing but to be opened. */
export function answerForCallers(open: (request: Request) => Promise<readonly Caller[]>): void {
  const callers: Caller[] = [];
  answerParent(async (request) => {
    switch (request.op) {
      case 'open':
        callers.push(...(await open(request)));
        return undefined;
      case 'speak':
        return speakInTurn(callers);
      case 'hush':
        for (const caller of callers) caller.hush();
        return undefined;
      case 'reset':
        for (const { times } of callers) times.latencies.length = 0;
        return undefined;
      case 'report':
        return reportOf(callers);
      default:
        throw new Error(`unknown request ${request.op}`);
    }
  });
}
