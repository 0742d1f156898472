import { SAMPLE_RATE, type UplinkMessage } from '../../proto/voice/index.ts';

const SAMPLES_PER_MS = SAMPLE_RATE / 1000;
/** The page says where it is each second: half a minute, so that audio that is late finds its time. */
const MAX_POINTS = 150;
/** A clock's smallest lead is looked for in two spans of this length, in ms: quartzes drift by a second in some hours. */
const SPAN_MS = 300_000;

interface Point {
  readonly samples: number;
  readonly pageMs: number;
}

/**
 * How late microphone audio is: from the moment it was taken in the page to the moment it goes to the upstream. The page says when which
 * sample was taken, by its own clock; how far that is from the clock here is told by the message that came soonest after it was sent.
 */
export class MicrophoneDelay {
  #points: Point[] = [];
  #leadMs = Number.POSITIVE_INFINITY;
  #nextLeadMs = Number.POSITIVE_INFINITY;
  #spanEnd = 0;
  #longestMs: number | undefined;

  /** The page said where it is; `oneWayMs` is how long the quickest message takes to come. */
  told(message: UplinkMessage, oneWayMs: number, now: number): void {
    const last = this.#points.at(-1);
    if (last !== undefined && message.microphoneSamples < last.samples) return;
    if (this.#points.length >= MAX_POINTS) this.#points.shift();
    this.#points.push({ samples: message.microphoneSamples, pageMs: message.elapsedMs });
    const leadMs = now - message.elapsedMs - oneWayMs;
    if (now >= this.#spanEnd) {
      this.#leadMs = this.#nextLeadMs;
      this.#nextLeadMs = Number.POSITIVE_INFINITY;
      this.#spanEnd = now + SPAN_MS;
    }
    this.#nextLeadMs = Math.min(this.#nextLeadMs, leadMs);
    this.#leadMs = Math.min(this.#leadMs, leadMs);
  }

  /** Audio up to this sample of the call went to the upstream. Gives how late its end is, in ms; undefined while that is not known. */
  handedOn(samples: number, now: number): number | undefined {
    const takenMs = this.#takenAt(samples);
    if (takenMs === undefined) return undefined;
    const delayMs = Math.max(0, now - this.#leadMs - takenMs);
    this.#longestMs = Math.max(this.#longestMs ?? 0, delayMs);
    return delayMs;
  }

  /** The longest delay since this was asked last; undefined when there was none. */
  takeLongestMs(): number | undefined {
    const longest = this.#longestMs;
    this.#longestMs = undefined;
    return longest;
  }

  /** By the page's clock. Behind the newest point the microphone is taken to have gone on. */
  #takenAt(samples: number): number | undefined {
    for (let i = this.#points.length - 1; i >= 0; i--) {
      const point = this.#points[i]!;
      const after = this.#points[i + 1];
      if (point.samples > samples) continue;
      const onMs = point.pageMs + (samples - point.samples) / SAMPLES_PER_MS;
      return after === undefined ? onMs : Math.min(onMs, after.pageMs);
    }
    const first = this.#points[0];
    return first && first.pageMs - (first.samples - samples) / SAMPLES_PER_MS;
  }
}
