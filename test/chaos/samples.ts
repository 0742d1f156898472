import { firstMismatch, locate, valuesOf } from '../simulation/calls/samples.ts';
import type { Heard, ModelItem, ModelResponse } from '../simulation/calls/upstream.ts';

/** What the checks found of one direction of one call: samples that did not arrive, or more than once, and sentences for a person. */
class Findings {
  lost = 0;
  doubled = 0;
  readonly faults: string[] = [];

  /** `actual`: where a run really begins that is due at `due`; undefined when it is none of this audio at all. */
  misplaced(what: string, due: number, actual: number | undefined, samples: number): void {
    if (actual === undefined || actual > due) this.lost += actual === undefined ? samples : actual - due;
    else this.doubled += due - actual;
    this.faults.push(`${what}: sample ${actual ?? 'of something else'} came where ${due} was due`);
  }

  /** `there` samples of a run of `length`. */
  counted(what: string, length: number, there: number): void {
    if (there === length) return;
    this.lost += Math.max(0, length - there);
    this.doubled += Math.max(0, there - length);
    this.faults.push(`${what}: ${there} of ${length} samples`);
  }
}

/** One upstream's place in what its caller said. */
interface Run {
  position: number;
  broken: boolean;
}

/** Holds what the upstreams of one call hear to what its caller said. */
export class MicrophoneAccount {
  readonly findings = new Findings();
  /** Samples between which the caller spoke. */
  readonly words: { readonly from: number; to: number }[] = [];
  readonly #tag: number;
  readonly #runs = new Map<number, Run>();
  /** The sample behind the last that any upstream heard. */
  heardUpTo = 0;

  constructor(tag: number) {
    this.#tag = tag;
  }

  /** Whether this upstream has heard anything of the call. */
  knows(upstream: number): boolean {
    return this.#runs.has(upstream);
  }

  audio(upstream: number, values: Uint16Array, at: number | undefined): void {
    let run = this.#runs.get(upstream);
    if (run === undefined) {
      run = { position: at ?? 0, broken: false };
      this.#runs.set(upstream, run);
      // A fresh upstream may begin earlier, never later, than what was heard: else something fell out between the two.
      if (run.position > this.heardUpTo)
        this.findings.misplaced(`upstream ${upstream}`, this.heardUpTo, at, values.length);
    }
    const wrong = firstMismatch(values, run.position, this.#tag);
    if (wrong !== undefined && !run.broken) {
      run.broken = true;
      const rest = values.subarray(wrong);
      const due = run.position + wrong;
      this.findings.misplaced(`upstream ${upstream}`, due, locate(rest, this.#tag), rest.length);
    }
    run.position += values.length;
    this.heardUpTo = Math.max(this.heardUpTo, run.position);
  }

  /** At the end: every word is in the conversation of the last upstream, or in what it heard since, once. */
  checkWhole(items: readonly ModelItem[], open: Heard | undefined): void {
    const heard: Heard[] = items.flatMap((item) => item.heard ?? []);
    if (open !== undefined) heard.push(open);
    for (const { from, to } of this.words) {
      const there = heard
        .map((turn) => Math.max(0, Math.min(to, turn.to) - Math.max(from, turn.from)))
        .reduce((sum, samples) => sum + samples, 0);
      this.findings.counted(`words from sample ${from}`, to - from, there);
    }
  }
}

interface Sound {
  samples: number;
  complete: boolean;
  broken: boolean;
}

/** Holds what one page plays to what its upstreams said. */
export class AnswerAccount {
  readonly findings = new Findings();
  readonly #said = new Map<string, ModelResponse>();
  readonly #heard = new Map<string, Sound>();
  readonly #cut = new Set<string>();
  heardSamples = 0;

  begins(response: ModelResponse): void {
    this.#said.set(response.itemId, response);
  }

  cut(responseIds: readonly string[]): void {
    for (const id of responseIds) this.#cut.add(id);
  }

  audio(itemId: string, octets: Uint8Array): void {
    const sound = this.#sound(itemId);
    const values = valuesOf(octets);
    const response = this.#said.get(itemId);
    this.heardSamples += values.length;
    const wrong = response === undefined ? 0 : firstMismatch(values, sound.samples, response.tag);
    if (wrong !== undefined && values.length > 0 && !sound.broken) {
      sound.broken = true;
      const rest = values.subarray(wrong);
      const actual = response && locate(rest, response.tag);
      this.findings.misplaced(`answer ${itemId}`, sound.samples + wrong, actual, rest.length);
    }
    sound.samples += values.length;
  }

  ended(itemId: string, complete: boolean): void {
    const sound = this.#sound(itemId);
    sound.complete = complete;
    const response = this.#said.get(itemId);
    if (complete && response?.state === 'done')
      this.findings.counted(`answer ${itemId}, which ended whole`, response.sent, sound.samples);
  }

  /** At the end: these responses were heard whole, unless the caller cut them off. */
  checkWhole(responses: readonly ModelResponse[]): void {
    for (const { id, itemId, state, sent } of responses) {
      if (state !== 'done' || sent === 0 || this.#cut.has(id)) continue;
      const sound = this.#heard.get(itemId);
      if (sound?.complete !== true) this.findings.counted(`answer ${itemId}`, sent, sound?.samples ?? 0);
    }
  }

  #sound(itemId: string): Sound {
    let sound = this.#heard.get(itemId);
    if (sound === undefined) {
      sound = { samples: 0, complete: false, broken: false };
      this.#heard.set(itemId, sound);
    }
    return sound;
  }
}
