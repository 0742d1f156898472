/** Share of what was in flight that may be lost in a round trip. */
const LOSS_THRESHOLD = 0.02;

/** Whether more was lost than a path that is not full loses (BBR draft §5.5.10.2). */
export function isTooHigh(lost: number, inFlight: number): boolean {
  return lost > inFlight * LOSS_THRESHOLD;
}

/** How much was in flight when losses crossed the threshold (BBR draft §5.5.10.2). */
export function inFlightAtLoss(inFlight: number, lost: number, size: number): number {
  const before = inFlight - size;
  const prefix = (LOSS_THRESHOLD * before - (lost - size)) / (1 - LOSS_THRESHOLD);
  return before + prefix;
}

/** Counts runs of packets that were lost one behind the other. */
export class LossRuns {
  count = 0;
  #last = -1;

  add(packetNumber: number): void {
    if (packetNumber !== this.#last + 1) this.count += 1;
    this.#last = packetNumber;
  }

  reset(): void {
    this.count = 0;
  }
}
