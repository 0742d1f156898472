import { type AnswerCodec, OPUS_CODEC, VOICE_CODEC } from '../proto/voice/index.ts';
import { CALM_FOR_MS } from './opus-choice.ts';

/** So much of an answer must be there, in ms, while more of it comes. */
const LOW_MS = 300;
/** An answer that began is given so long, in ms, to get ahead of what is heard. */
const START_MS = 500;
const MAX_CALM_FOR_MS = 600_000;
/** How often the backend is told again while answers come too slowly, in ms. */
const TELL_MS = 1000;

/** An answer of which more comes. */
export interface Flow {
  /** Since its first audio came, in ms. */
  readonly ageMs: number;
  /** What is there to be heard, in ms. */
  readonly bufferedMs: number;
}

/** Chooses in which codec the page wants answers, by whether they come faster than they are heard. It reads no clock. */
export class AnswerChoice {
  readonly #calmForMs: number;
  #wanted: AnswerCodec = VOICE_CODEC;
  #lowAt = Number.NEGATIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;
  #since = Number.NEGATIVE_INFINITY;
  #waitMs: number;

  /** `calmForMs`: how long answers must come fast enough before PCM is tried again; doubled each time that it was not carried. */
  constructor(calmForMs = CALM_FOR_MS) {
    this.#calmForMs = calmForMs;
    this.#waitMs = calmForMs;
  }

  get wanted(): AnswerCodec {
    return this.#wanted;
  }

  /** To be called a few times a second. True when the backend is to be told what is wanted. */
  update(flow: Flow | undefined, now: number): boolean {
    const low = flow !== undefined && flow.ageMs >= START_MS && flow.bufferedMs < LOW_MS;
    if (low) {
      this.#lowAt = now;
      if (this.#wanted !== OPUS_CODEC) {
        const soon = now - this.#since < 2 * this.#calmForMs;
        this.#waitMs = soon ? Math.min(2 * this.#waitMs, MAX_CALM_FOR_MS) : this.#calmForMs;
        this.#enter(OPUS_CODEC, now);
      } else if (now - this.#toldAt < TELL_MS) return false;
      this.#toldAt = now;
      return true;
    }
    if (this.#wanted === VOICE_CODEC || now - this.#lowAt < this.#waitMs) return false;
    this.#enter(VOICE_CODEC, now);
    return true;
  }

  #enter(codec: AnswerCodec, now: number): void {
    this.#wanted = codec;
    this.#since = now;
  }
}
