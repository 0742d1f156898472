import { AudioHash } from '../../proto/voice/audio-hash.ts';
import { octetsOf } from './pcm.ts';
import { StartGate } from './start-gate.ts';

/** What was really played of one answer. */
export interface Played {
  /** The page's own number for the answer. */
  readonly key: number;
  readonly playedSamples: number;
  /** FNV-1a over the PCM16 octets that were put out, in order. */
  readonly playedHash: string;
  /** Samples that were queued and never put out. */
  readonly droppedSamples: number;
  /** All of it was put out and no more was to come. */
  readonly finished: boolean;
}

class Answer {
  readonly key: number;
  readonly chunks: Int16Array<ArrayBuffer>[] = [];
  readonly hash = new AudioHash();
  /** Index of the first chunk that is not wholly played. */
  head = 0;
  /** Samples of that chunk which were played. */
  offset = 0;
  queued = 0;
  played = 0;
  ended = false;
  starved = false;
  ranDry = false;

  constructor(key: number) {
    this.key = key;
  }

  report(finished: boolean): Played {
    return {
      key: this.key,
      playedSamples: this.played,
      playedHash: this.hash.digest(),
      droppedSamples: finished ? 0 : this.queued,
      finished,
    };
  }
}

/** Chunks that are played are let go in batches of this many, so that a long answer does not keep its past. */
const COMPACT_CHUNKS = 64;

/**
 * Answers waiting to be heard, one after another and each without gaps, however long. It counts and hashes every sample
 * at the moment it is put out, which is the truth that `conversation.item.truncate` needs.
 * It holds what it is given; the page bounds that (`MAX_AHEAD_SAMPLES` of `Playback`) by not reading on.
 */
export class PlaybackQueue {
  readonly #answers: Answer[] = [];
  readonly #gate = new StartGate();
  #finished: Played[] = [];
  #buffered = 0;
  #underruns = 0;

  /** Samples queued and not yet put out, over all answers. */
  get bufferedSamples(): number {
    return this.#buffered;
  }

  /** Times that an answer ran dry before its end and went on later. */
  get underruns(): number {
    return this.#underruns;
  }

  /** What is being played, or is next. */
  get current(): Played | undefined {
    return this.#answers[0]?.report(false);
  }

  /** An answer begins; answers are played in the order they began. */
  begin(key: number): void {
    if (this.#find(key) === undefined) this.#answers.push(new Answer(key));
  }

  /** Adds samples, which the queue now owns. False when the answer is not there (cleared): they are not played. */
  push(key: number, samples: Int16Array<ArrayBuffer>): boolean {
    const answer = this.#find(key);
    if (answer === undefined || answer.ended) return false;
    if (samples.length === 0) return true;
    if (answer.starved) {
      // Only now is it sure that the silence was a gap and not just the end being late.
      answer.starved = false;
      answer.ranDry = true;
      this.#underruns++;
      this.#gate.ranDry();
    }
    answer.chunks.push(samples);
    answer.queued += samples.length;
    this.#buffered += samples.length;
    return true;
  }

  /** No more samples come for this answer. */
  end(key: number): void {
    const answer = this.#find(key);
    if (answer === undefined) return;
    answer.ended = true;
    if (answer === this.#answers[0] && answer.queued === 0) this.#finish(answer);
  }

  /** Stops and forgets one answer, or all of them; says what was played of each. */
  clear(key?: number): Played[] {
    const cleared: Played[] = [];
    for (let i = 0; i < this.#answers.length; ) {
      const answer = this.#answers[i];
      if (answer === undefined || (key !== undefined && answer.key !== key)) {
        i++;
        continue;
      }
      this.#answers.splice(i, 1);
      this.#buffered -= answer.queued;
      cleared.push(answer.report(false));
      if (i === 0) this.#gate.close();
    }
    return cleared;
  }

  /** Puts out up to `count` samples into `out`; returns how many. The rest is silence. */
  pull(out: Int16Array<ArrayBuffer>, count: number): number {
    let written = 0;
    while (written < count) {
      const answer = this.#answers[0];
      if (answer === undefined) break;
      if (!this.#gate.passes(answer.queued, answer.ended, count - written)) break;
      if (answer.queued === 0) {
        if (answer.ended) {
          this.#finish(answer);
          continue;
        }
        answer.starved = answer.played > 0;
        this.#gate.close();
        break;
      }
      written += this.#take(answer, out, written, count);
      if (answer.queued === 0 && answer.ended) this.#finish(answer);
    }
    return written;
  }

  /** Answers that were played to their end since the last call. */
  takeFinished(): Played[] {
    if (this.#finished.length === 0) return this.#finished;
    const finished = this.#finished;
    this.#finished = [];
    return finished;
  }

  #find(key: number): Answer | undefined {
    return this.#answers.find((answer) => answer.key === key);
  }

  #take(answer: Answer, out: Int16Array<ArrayBuffer>, at: number, count: number): number {
    const chunk = answer.chunks[answer.head];
    if (chunk === undefined) return 0;
    const length = Math.min(count - at, chunk.length - answer.offset);
    const part = chunk.subarray(answer.offset, answer.offset + length);
    out.set(part, at);
    answer.hash.update(octetsOf(part));
    answer.offset += length;
    answer.played += length;
    answer.queued -= length;
    this.#buffered -= length;
    if (answer.offset === chunk.length) {
      answer.offset = 0;
      answer.head++;
      if (answer.head >= COMPACT_CHUNKS) {
        answer.chunks.splice(0, answer.head);
        answer.head = 0;
      }
    }
    return length;
  }

  #finish(answer: Answer): void {
    this.#answers.shift();
    this.#finished.push(answer.report(true));
    if (!answer.ranDry) this.#gate.playedThrough();
    // The next answer follows at once when it is there; when not, its start is judged anew.
    if (this.#answers.length === 0) this.#gate.close();
  }
}
