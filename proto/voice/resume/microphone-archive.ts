import { SAMPLE_RATE } from '../messages.ts';
import { OCTETS_PER_SAMPLE } from '../pcm.ts';

/** Microphone audio that a page keeps at most, in samples: 120 s, 5.8 MB. */
export const MAX_ARCHIVE_SAMPLES = 120 * SAMPLE_RATE;
/** Stretches that a page keeps at most; a caller mutes by hand. */
export const MAX_ARCHIVE_STRETCHES = 1024;

/** One unmuted stretch, or what is left of it. */
export interface ArchivedStretch {
  /** 0, 1, 2, … in the order they were spoken, over the whole call. */
  readonly number: number;
  /** Sample at which it begins, counted over the whole call. */
  readonly firstSample: number;
  /** When it began, in ms since the call began. */
  readonly startMs: number;
  /** Ordered events of the call that come before its audio. */
  readonly orderedEvents: number;
}

interface Chunk {
  /** Sample at which it begins. */
  readonly at: number;
  readonly octets: Uint8Array;
}

interface Stretch extends ArchivedStretch {
  firstSample: number;
  readonly chunks: (Chunk | undefined)[];
  /** Chunks at the front that are released already. */
  head: number;
  samples: number;
  ended: boolean;
}

/**
 * The page's copy of what was said, kept until it belongs to an item that the conversation can be restored with: audio that
 * was written to a session that died is written again to the next one, from the sample that the backend names. A bound of
 * 120 s holds always; what falls out is counted, and can only be missed if a backend dies with it.
 */
export class MicrophoneArchive {
  readonly #maxSamples: number;
  #stretches: Stretch[] = [];
  #current: Stretch | undefined;
  #count = 0;
  #samples = 0;
  #released = 0;
  #forgotten = 0;

  constructor(maxSamples: number = MAX_ARCHIVE_SAMPLES) {
    this.#maxSamples = maxSamples;
  }

  /** Samples of the call so far, kept or not. */
  get samples(): number {
    return this.#samples;
  }

  /** The oldest sample that can be sent again. */
  get firstSample(): number {
    return this.#released;
  }

  /** Samples that fell out at the bound before they were released. */
  get forgottenSamples(): number {
    return this.#forgotten;
  }

  /** A stretch begins at the next sample. */
  begin(startMs: number, orderedEvents: number): void {
    this.end();
    this.#current = {
      number: this.#count++,
      firstSample: this.#samples,
      startMs,
      orderedEvents,
      chunks: [],
      head: 0,
      samples: 0,
      ended: false,
    };
    this.#stretches.push(this.#current);
    while (this.#stretches.length > MAX_ARCHIVE_STRETCHES) this.#forgetTo(endOf(this.#stretches[0]!));
  }

  /** Audio of the current stretch: whole samples, as octets that the archive may keep. */
  push(octets: Uint8Array): void {
    const stretch = this.#current;
    if (stretch === undefined || octets.length === 0) return;
    stretch.chunks.push({ at: this.#samples, octets });
    const samples = octets.length / OCTETS_PER_SAMPLE;
    stretch.samples += samples;
    this.#samples += samples;
    const excess = this.#samples - this.#released - this.#maxSamples;
    if (excess > 0) this.#forgetTo(this.#released + excess);
  }

  end(): void {
    if (this.#current !== undefined) this.#current.ended = true;
    this.#current = undefined;
  }

  /** What was said before `sample` will not be asked for again. */
  release(sample: number): void {
    this.#dropBefore(Math.min(sample, this.#samples));
  }

  /** The stretches to send from `sample` on, oldest first; the first of them may begin in its middle. */
  stretchesFrom(sample: number): ArchivedStretch[] {
    const from = Math.max(sample, this.#released);
    return this.#stretches
      .filter((stretch) => endOf(stretch) > from || !stretch.ended)
      .map(({ number, firstSample, startMs, orderedEvents }) => ({
        number,
        firstSample: Math.max(firstSample, from),
        startMs,
        orderedEvents,
      }));
  }

  /**
   * At most `maxOctets` of the audio of stretch `number` at `sample`: a view, not to be changed. Empty when the next samples
   * are yet to be said; `ended` when no more will come in this stretch.
   */
  read(
    number: number,
    sample: number,
    maxOctets: number,
  ): { readonly octets: Uint8Array; readonly ended: boolean } {
    const stretch = this.#stretches[number - (this.#stretches[0]?.number ?? 0)];
    if (stretch === undefined) return { octets: EMPTY, ended: true };
    const chunk = chunkAt(stretch, sample);
    if (chunk !== undefined) {
      const start = (sample - chunk.at) * OCTETS_PER_SAMPLE;
      const octets = chunk.octets.subarray(start, Math.min(chunk.octets.length, start + maxOctets));
      return { octets, ended: false };
    }
    return { octets: EMPTY, ended: stretch.ended };
  }

  #forgetTo(sample: number): void {
    this.#forgotten += Math.max(0, sample - this.#released);
    this.#dropBefore(sample);
  }

  #dropBefore(sample: number): void {
    if (sample <= this.#released && this.#stretches.length <= MAX_ARCHIVE_STRETCHES) return;
    this.#released = Math.max(this.#released, sample);
    const keep = this.#stretches.findIndex((stretch) => endOf(stretch) > sample || !stretch.ended);
    this.#stretches = keep < 0 ? [] : this.#stretches.slice(keep);
    const first = this.#stretches[0];
    if (first !== undefined) trim(first, sample);
  }
}

const EMPTY = new Uint8Array(0);

/** The sample behind its last one. */
function endOf(stretch: Stretch): number {
  return stretch.firstSample + stretch.samples;
}

/** The chunk that holds `sample`, found by halving, as a backlog has thousands. */
function chunkAt({ chunks, head }: Stretch, sample: number): Chunk | undefined {
  let low = head;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunkEnd(chunks[middle]) > sample) high = middle;
    else low = middle + 1;
  }
  return chunks[low];
}

function chunkEnd(chunk: Chunk | undefined): number {
  return chunk === undefined ? 0 : chunk.at + chunk.octets.length / OCTETS_PER_SAMPLE;
}

/** Lets go of the chunks of a stretch that end at or before `sample`. */
function trim(stretch: Stretch, sample: number): void {
  const { chunks } = stretch;
  while (stretch.head < chunks.length && chunkEnd(chunks[stretch.head]) <= sample) {
    chunks[stretch.head] = undefined;
    stretch.head += 1;
  }
  if (sample > stretch.firstSample) {
    stretch.samples -= Math.min(stretch.samples, sample - stretch.firstSample);
    stretch.firstSample = sample;
  }
  if (stretch.head > 64 && stretch.head * 2 > chunks.length) {
    chunks.splice(0, stretch.head);
    stretch.head = 0;
  }
}
