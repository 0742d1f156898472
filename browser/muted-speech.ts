/** Level above which it is speech, root mean square: a quiet room has a tenth of it. */
const SPEECH_LEVEL = 0.02;
/** Levels in a row that make speech of noise; each is of 200 ms. */
const IN_A_ROW = 3;
/** It is told again after so many levels: 10 s. */
const AGAIN_AFTER = 50;

/** Notices that a caller speaks who is muted, by levels that the worklet gives each 200 ms meanwhile. */
export class MutedSpeech {
  #loud = 0;
  #quietFor = AGAIN_AFTER;

  /** True when it is to be told: at the beginning of speech, and each 10 s that it goes on. */
  take(level: number): boolean {
    this.#quietFor += 1;
    this.#loud = level >= SPEECH_LEVEL ? this.#loud + 1 : 0;
    if (this.#loud < IN_A_ROW || this.#quietFor < AGAIN_AFTER) return false;
    this.#quietFor = 0;
    return true;
  }

  /** The microphone is taken again. */
  reset(): void {
    this.#loud = 0;
    this.#quietFor = AGAIN_AFTER;
  }
}
