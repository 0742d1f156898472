import { TransportError, TransportErrorCode } from '../../errors.ts';
import { type AckRange, FrameType } from '../../frames/index.ts';
import type { RandomSource } from '../../types.ts';

/** Skipped numbers that are remembered; the oldest go first. At one per 32 packets or fewer they span any window. */
export const MAX_SKIPPED_NUMBERS = 64;
/** The first number is skipped within this many packets: an optimistic peer gains most while the window doubles. */
const FIRST_WITHIN_PACKETS = 32;
/** Packets between two skipped numbers: at least this many, and up to 255 more by chance. */
const MIN_DISTANCE_PACKETS = 32;

/**
 * 1-RTT packet numbers that are left out at random. A peer that acknowledges what it has not received, to be sent more than its
 * path carries, cannot know them (RFC 9000 §21.4).
 */
export class SkippedNumbers {
  readonly #random: RandomSource;
  readonly #numbers: number[] = [];
  #nextAt: number;

  constructor(random: RandomSource) {
    this.#random = random;
    this.#nextAt = 1 + (random(1)[0]! % FIRST_WITHIN_PACKETS);
  }

  /** The number for the next packet: `next`, or one higher when it is time to skip one. */
  advance(next: number): number {
    if (next < this.#nextAt) return next;
    this.#numbers.push(next);
    if (this.#numbers.length > MAX_SKIPPED_NUMBERS) this.#numbers.shift();
    this.#nextAt = next + MIN_DISTANCE_PACKETS + this.#random(1)[0]!;
    return next + 1;
  }

  get count(): number {
    return this.#numbers.length;
  }

  /** Throws PROTOCOL_VIOLATION when one of the ranges, largest first, holds a number that no packet had (RFC 9000 §13.1). */
  check(ranges: readonly AckRange[]): void {
    let at = 0;
    for (let i = this.#numbers.length - 1; i >= 0; i--) {
      const number = this.#numbers[i]!;
      while (at < ranges.length && ranges[at]!.smallest > number) at += 1;
      if (at === ranges.length) return;
      if (ranges[at]!.largest >= number)
        throw new TransportError(
          TransportErrorCode.PROTOCOL_VIOLATION,
          `packet ${number} is acknowledged but was left out`,
          FrameType.ACK,
        );
    }
  }
}
