import type { ModelTime } from '../simulation/calls/virtual-time.ts';
import { Schedule } from '../simulation/schedule.ts';

/** The clock as it is. What is due comes in the order of its times, also when the process is late: timers of Node do not promise that. */
export class RealTime implements ModelTime {
  readonly schedule: ModelTime['schedule'] = { at: (time, action) => this.#at(time, action) };
  readonly #entries = new Schedule();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  get now(): number {
    return performance.now();
  }

  later(ms: number, action: () => void): void {
    this.#at(this.now + Math.max(0, ms), action);
  }

  #at(time: number, action: () => void): void {
    this.#entries.at(time, action);
    this.#arm();
  }

  #arm(): void {
    const next = this.#entries.nextAt;
    if (next === undefined || next >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(() => this.#run(), Math.max(0, Math.ceil(next - this.now)));
  }

  #run(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const { now } = this;
    for (let action = this.#entries.take(now); action !== undefined; action = this.#entries.take(now))
      action();
    this.#arm();
  }
}
