/** How long little is in flight, at least, in ms. */
const PROBE_RTT_MS = 200;

/** A ProbeRTT phase: 200 ms and a round trip with little in flight, from when that is so (BBR draft §5.3.4.3). */
export class ProbeRtt {
  #doneMs: number | undefined;
  #roundDone = false;

  begin(): void {
    this.#doneMs = undefined;
    this.#roundDone = false;
  }

  /** An acknowledgement came. True when little is in flight from now on: the round trip begins. */
  step(lowEnough: boolean, roundStart: boolean, now: number): boolean {
    if (this.#doneMs !== undefined) {
      if (roundStart) this.#roundDone = true;
      return false;
    }
    if (!lowEnough) return false;
    this.#doneMs = now + PROBE_RTT_MS;
    return true;
  }

  /** After an idle time no round trip is waited for: nothing was in flight (BBR draft §5.4.1). */
  isDone(now: number, idle: boolean): boolean {
    return (this.#roundDone || idle) && this.#doneMs !== undefined && now > this.#doneMs;
  }
}
