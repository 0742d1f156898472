/** Silence of the backend, in ms, after which its session may be gone, while audio is under way: it acknowledges audio every 250 ms. */
export const SILENT_MS = 2000;
/** The same while no audio is under way: its figures come each second. */
export const SILENT_IDLE_MS = 3500;
/** A look that comes so long after the last one, in ms, was held up with the whole page, and what came meanwhile is yet to be read. */
const HELD_UP_MS = 1500;

/** Notices that the backend is silent. It knows no clock: each call says the time, in ms. */
export class SilenceWatch {
  #heardAt = 0;
  #lookedAt = 0;

  /** When something came last. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** From now on the backend is to be heard. */
  start(now: number): void {
    this.#heardAt = now;
    this.#lookedAt = now;
  }

  heard(now: number): void {
    this.#heardAt = now;
  }

  /** Looks; to be called every 250 ms or so. `flowing`: audio is under way, or waits to be acknowledged. */
  isSilent(now: number, flowing: boolean): boolean {
    const heldUp = now - this.#lookedAt > HELD_UP_MS;
    this.#lookedAt = now;
    return !heldUp && now - this.#heardAt >= (flowing ? SILENT_MS : SILENT_IDLE_MS);
  }
}
