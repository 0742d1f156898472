import type { SamplesBy, WordsRecord } from './spoken-words.ts';

/** 20 ms at 24 kHz. */
const WINDOW_SAMPLES = 480;
/** Below this (root mean square) there is nothing to compare. */
const AUDIBLE = 200;
/** Compared at 8 kHz: what speech and codecs of speech have most of, at a ninth of the cost. */
const DIVISOR = 3;
const STEP = WINDOW_SAMPLES / DIVISOR;
/** So much around a window is compared with it, each side: one period of a voice is like the next, 40 ms of it less so. */
const AROUND = STEP / 2;
/** How far a window may stand from where the one before it says, each way: a jitter buffer stretches and shrinks. 40 ms. */
const REACH = 2 * STEP;
/** What is enough to find the place again where nothing is known of it: 200 ms. */
const PHRASE = 10 * STEP;
/** How much of a sample is taken from the next one: the deep notes of a voice, which are like those of any other, are made as quiet as the rest. */
const EMPHASIS = 0.9;
/** How far ahead of the last place it is looked for again, beyond the time that has passed: 2 s. */
const AHEAD = 100 * STEP;
/** Windows that are missed in a row before the place is looked for again, and again after as many. */
const MISSES = 5;
/** From this likeness on (correlation) it is what was said: voices are like themselves, codecs leave more than this. */
const ALIKE = 0.6;

/** A window of 20 ms that is not quiet. */
export interface Window {
  /** Its first sample of what was said. */
  readonly at: number;
  /** When its last sample left the microphone's worklet, in ms since 1970. */
  readonly saidAt: number;
  /** When its last sample came to the upstream; undefined: it is not to be found there. */
  readonly heardAt: number | undefined;
}

/**
 * Looks for each 20 ms of what was said in what was heard, by its wave: whatever carried it, however it was coded, stretched, cut or made up
 * in between. In order, so that a sound that is said twice is not found twice in the same place.
 */
export function alignWords({ said, taken, heard, arrivals }: WordsRecord): Window[] {
  const search = new Search(thinned(said), thinned(heard));
  const windows: Window[] = [];
  for (let at = 0; at + WINDOW_SAMPLES <= said.length; at += WINDOW_SAMPLES) {
    if (rms(said, at) < AUDIBLE) continue;
    const saidAt = momentOf(taken, at + WINDOW_SAMPLES)!;
    // What was there before it was said is something else.
    const found = search.find(at / DIVISOR, samplesBy(arrivals, saidAt) / DIVISOR - STEP);
    windows.push({
      at,
      saidAt,
      heardAt: found === undefined ? undefined : momentOf(arrivals, found * DIVISOR + WINDOW_SAMPLES),
    });
  }
  return windows;
}

/** Finds windows one after the other; positions at 8 kHz. */
class Search {
  readonly #said: Float32Array;
  readonly #heard: Float32Array;
  /** How far what is heard stands behind what was said. */
  #shift: number | undefined;
  /** Where the last window was found, in both. */
  #lastSaid = 0;
  #lastHeard = -1;
  #missed = MISSES;

  constructor(said: Float32Array, heard: Float32Array) {
    this.#said = said;
    this.#heard = heard;
  }

  /** Where the window of what was said is in what was heard, from `earliest` on. */
  find(at: number, earliest: number): number | undefined {
    const least = Math.max(this.#lastHeard + 1, Math.floor(earliest));
    const near = this.#shift === undefined ? undefined : this.#near(at, at + this.#shift, least);
    const found = near ?? this.#anew(at, least);
    if (found === undefined) {
      this.#missed += 1;
      return undefined;
    }
    this.#missed = 0;
    this.#shift = found - at;
    this.#lastSaid = at;
    this.#lastHeard = found;
    return found;
  }

  #near(at: number, expected: number, least: number): number | undefined {
    const from = Math.max(expected - REACH, least);
    const found = this.#best(at - AROUND, STEP + 2 * AROUND, from - AROUND, expected + REACH - AROUND);
    return found === undefined ? undefined : found + AROUND;
  }

  /** Looks for the phrase that begins there, anywhere behind what was found last. */
  #anew(at: number, least: number): number | undefined {
    if (this.#missed % MISSES !== 0) return undefined;
    const until = this.#lastHeard + (at - this.#lastSaid) + AHEAD;
    const phrase = this.#best(at, PHRASE, least, until);
    return phrase === undefined ? undefined : this.#near(at, phrase, least);
  }

  /** The place from which on `length` of what was heard is most like what was said, when it is alike. */
  #best(said: number, length: number, from: number, until: number): number | undefined {
    const first = Math.max(0, said);
    const cut = first - said;
    const count = Math.min(length - cut, this.#said.length - first);
    let own = 0;
    for (let i = 0; i < count; i++) own += this.#said[first + i]! ** 2;
    let most = ALIKE;
    let best: number | undefined;
    const last = Math.min(until + cut, this.#heard.length - count);
    for (let place = Math.max(from + cut, 0); place <= last; place++) {
      let [product, others] = [0, 0];
      for (let i = 0; i < count; i++) {
        const other = this.#heard[place + i]!;
        product += this.#said[first + i]! * other;
        others += other * other;
      }
      if (product <= 0) continue;
      const likeness = product / Math.sqrt(own * others);
      if (likeness <= most) continue;
      most = likeness;
      best = place - cut;
    }
    return best;
  }
}

/** At 8 kHz; every sample is the mean of five around it, so that what 8 kHz cannot carry is not taken for something else. */
function thinned(samples: Int16Array): Float32Array {
  const thin = new Float32Array(Math.floor(samples.length / DIVISOR));
  let before = 0;
  for (let i = 0; i < thin.length; i++) {
    let sum = 0;
    for (let k = -2; k <= 2; k++) sum += samples[i * DIVISOR + k] ?? 0;
    thin[i] = sum / 5 - EMPHASIS * before;
    before = sum / 5;
  }
  return thin;
}

/** When so many samples were there; undefined: they never were. */
function momentOf(steps: readonly SamplesBy[], samples: number): number | undefined {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]!.samples >= samples) high = middle;
    else low = middle + 1;
  }
  return steps[low]?.at;
}

/** So many samples were there before this moment. */
function samplesBy(steps: readonly SamplesBy[], moment: number): number {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]!.at >= moment) high = middle;
    else low = middle + 1;
  }
  return steps[low - 1]?.samples ?? 0;
}

function rms(samples: Int16Array, at: number): number {
  let sum = 0;
  for (let i = at; i < at + WINDOW_SAMPLES; i++) sum += samples[i]! ** 2;
  return Math.sqrt(sum / WINDOW_SAMPLES);
}
