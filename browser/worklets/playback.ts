import { Declicker } from '../audio/declicker.ts';
import { levelOf, VOICE_RATE } from '../audio/pcm.ts';
import { PlaybackQueue } from '../audio/playback-queue.ts';
import { Resampler } from '../audio/resampler.ts';
import { PLAYBACK_PROCESSOR, type PlaybackCommand, type PlaybackReport } from './messages.ts';

/** Samples at 24 kHz between two reports: 50 ms, often enough for a level meter. */
const REPORT_SAMPLES = 1200;

/** Puts queued answers out, converts them where the context has another rate, and tells the page how far it is. */
class PlaybackProcessor extends AudioWorkletProcessor {
  readonly #queue = new PlaybackQueue();
  readonly #declicker = new Declicker();
  readonly #resampler: Resampler | undefined;
  #pulled = new Int16Array(1024);
  #floats = new Float32Array(1024);
  #sinceReport = 0;
  #loudest = 0;
  #idle = true;

  constructor() {
    super();
    this.#resampler =
      sampleRate === VOICE_RATE ? undefined : new Resampler(VOICE_RATE, Math.round(sampleRate));
    this.port.onmessage = (event: MessageEvent<PlaybackCommand>) => this.#obey(event.data);
  }

  override process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const [first, ...others] = outputs[0] ?? [];
    if (first === undefined) return true;
    const needed = this.#resampler === undefined ? first.length : this.#resampler.inputNeeded(first.length);
    this.#fill(needed);
    if (this.#resampler === undefined) first.set(this.#floats.subarray(0, needed));
    else {
      this.#resampler.push(this.#floats, needed);
      this.#resampler.pull(first);
    }
    for (const other of others) other.set(first);
    this.#report(needed);
    return true;
  }

  /** Brings the next `count` samples at 24 kHz into `#floats`, silence included. */
  #fill(count: number): void {
    if (count > this.#pulled.length) {
      this.#pulled = new Int16Array(count * 2);
      this.#floats = new Float32Array(count * 2);
    }
    const played = this.#queue.pull(this.#pulled, count);
    for (let i = 0; i < played; i++) this.#floats[i] = (this.#pulled[i] ?? 0) / 32_768;
    this.#declicker.fill(this.#floats.subarray(0, count), played);
    if (played > 0) this.#loudest = Math.max(this.#loudest, levelOf(this.#pulled.subarray(0, played)));
  }

  #report(elapsed: number): void {
    const finished = this.#queue.takeFinished();
    if (finished.length > 0) this.#post({ type: 'finished', answers: finished });
    this.#sinceReport += elapsed;
    if (this.#sinceReport < REPORT_SAMPLES) return;
    this.#sinceReport = 0;
    const current = this.#queue.current;
    // One last report when it falls silent, then none until there is something to tell.
    if (current === undefined && this.#idle) return;
    this.#idle = current === undefined;
    this.#post({
      type: 'progress',
      current,
      bufferedSamples: this.#queue.bufferedSamples,
      underruns: this.#queue.underruns,
      level: this.#loudest,
    });
    this.#loudest = 0;
  }

  #obey(command: PlaybackCommand): void {
    switch (command.type) {
      case 'begin':
        this.#queue.begin(command.key);
        break;
      case 'samples':
        this.#queue.push(command.key, command.samples);
        break;
      case 'end':
        this.#queue.end(command.key);
        break;
      case 'clear':
        this.#post({ type: 'cleared', id: command.id, answers: this.#queue.clear(command.key) });
        break;
    }
  }

  #post(report: PlaybackReport): void {
    this.port.postMessage(report);
  }
}

registerProcessor(PLAYBACK_PROCESSOR, PlaybackProcessor);
