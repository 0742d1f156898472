import { SAMPLE_RATE } from '../messages.ts';
import { OCTETS_PER_SAMPLE } from '../pcm.ts';
import { AudioLog } from './audio-log.ts';

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

interface Stretch {
  readonly number: number;
  readonly startMs: number;
  readonly orderedEvents: number;
  readonly audio: AudioLog;
  ended: boolean;
}

const NOTHING: { readonly octets: Uint8Array; readonly ended: boolean } = Object.freeze({
  octets: new Uint8Array(0),
  ended: true,
});

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

  /** Stretches begun so far. */
  get stretches(): number {
    return this.#count;
  }

  /** A stretch begins at the next sample. */
  begin(startMs: number, orderedEvents: number): void {
    this.end();
    const audio = new AudioLog(this.#samples);
    this.#current = { number: this.#count++, startMs, orderedEvents, audio, ended: false };
    this.#stretches.push(this.#current);
    while (this.#stretches.length > MAX_ARCHIVE_STRETCHES) {
      this.#forgetTo(this.#stretches[0]!.audio.end);
      if (this.#stretches.length > MAX_ARCHIVE_STRETCHES) this.#stretches.shift();
    }
  }

  /** Audio of the current stretch: whole samples, as octets that the archive may keep. */
  push(octets: Uint8Array): void {
    if (this.#current === undefined) return;
    this.#current.audio.push(octets);
    this.#samples += octets.length / OCTETS_PER_SAMPLE;
    const excess = this.#samples - this.#released - this.#maxSamples;
    if (excess > 0) this.#forgetTo(this.#released + excess);
  }

  end(): void {
    if (this.#current !== undefined) this.#current.ended = true;
    this.#current = undefined;
  }

  /** What was said before `sample` will not be asked for again. */
  release(sample: number): void {
    const to = Math.min(sample, this.#samples);
    if (to <= this.#released) return;
    this.#released = to;
    const keep = this.#stretches.findIndex(({ audio, ended }) => audio.end > to || !ended);
    this.#stretches = keep < 0 ? [] : this.#stretches.slice(keep);
    this.#stretches[0]?.audio.release(to);
  }

  /** The stretches to send from `sample` on, oldest first; the first of them may begin in its middle. */
  stretchesFrom(sample: number): ArchivedStretch[] {
    const from = Math.max(sample, this.#released);
    return this.#stretches
      .filter(({ audio, ended }) => audio.end > from || !ended)
      .map(({ number, startMs, orderedEvents, audio }) => ({
        number,
        firstSample: Math.max(audio.first, from),
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
    if (stretch === undefined) return NOTHING;
    const octets = stretch.audio.read(sample, maxOctets);
    return { octets, ended: octets.length === 0 && stretch.ended };
  }

  #forgetTo(sample: number): void {
    this.#forgotten += Math.max(0, sample - this.#released);
    this.release(sample);
  }
}
