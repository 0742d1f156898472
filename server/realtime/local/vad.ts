import { msToSamples } from '../../../proto/voice/index.ts';

/** How turns are found; the fields of the Realtime API's `server_vad`. */
export interface VadConfig {
  /** 0 (everything is speech) to 1 (only loud speech). */
  readonly threshold: number;
  /** Audio before the first loud frame that belongs to the turn. */
  readonly prefixPaddingMs: number;
  /** Silence that ends a turn. */
  readonly silenceDurationMs: number;
}

export const DEFAULT_VAD: VadConfig = Object.freeze({
  threshold: 0.5,
  prefixPaddingMs: 300,
  silenceDurationMs: 500,
});

/** A turn began or ended, at a sample counted from the start of the session. */
export interface VadEvent {
  readonly type: 'started' | 'stopped';
  readonly sample: number;
}

const FRAME_SAMPLES = 480;
/** Loud frames in a row that make speech: a click of the keyboard is shorter. */
const START_FRAMES = 3;
const FULL_SCALE = 32_768;
/** At threshold 1: the level below which nothing is speech, as a share of full scale (-36 dB), and the factor over the noise. */
const LEVEL_AT_FULL_THRESHOLD = 0.016;
const FACTOR_AT_FULL_THRESHOLD = 6;
/** Within a turn, a frame may be this much quieter than the one that began it. */
const HYSTERESIS = 0.6;
const FLOOR_FALLS = 0.3;
const FLOOR_RISES_IN_SILENCE = 0.05;
/** Steady noise taken for speech becomes the floor after about 40 s without any pause. */
const FLOOR_RISES_IN_SPEECH = 0.0002;

/**
 * Finds turns by energy: a frame of 20 ms is loud when it stands out of the noise floor, which is learnt in
 * silence. Pure: the same samples give the same turns, however they are cut.
 */
export class VoiceActivityDetector {
  #config: VadConfig;
  #position = 0;
  #frameSum = 0;
  #frameLength = 0;
  #floor = 0.002;
  #loudRun = 0;
  #speaking = false;
  #lastLoudEnd = 0;

  constructor(config: VadConfig = DEFAULT_VAD) {
    this.#config = config;
  }

  get speaking(): boolean {
    return this.#speaking;
  }

  configure(config: VadConfig): void {
    this.#config = config;
  }

  /** Forgets a turn that has begun, but not what was learnt of the noise. */
  reset(): void {
    this.#speaking = false;
    this.#loudRun = 0;
  }

  /** Takes samples; gives the turns that begin or end in them, in order. */
  push(samples: Int16Array): VadEvent[] {
    const events: VadEvent[] = [];
    for (const sample of samples) {
      this.#frameSum += sample * sample;
      this.#frameLength += 1;
      this.#position += 1;
      if (this.#frameLength === FRAME_SAMPLES) {
        const event = this.#endFrame();
        if (event !== undefined) events.push(event);
      }
    }
    return events;
  }

  #endFrame(): VadEvent | undefined {
    const level = Math.sqrt(this.#frameSum / FRAME_SAMPLES) / FULL_SCALE;
    this.#frameSum = 0;
    this.#frameLength = 0;
    const { threshold, prefixPaddingMs, silenceDurationMs } = this.#config;
    const bar = Math.max(
      LEVEL_AT_FULL_THRESHOLD * threshold,
      this.#floor * Math.max(1, FACTOR_AT_FULL_THRESHOLD * threshold),
    );
    const loud = level > (this.#speaking ? bar * HYSTERESIS : bar);
    this.#learn(level, loud);
    if (loud) this.#lastLoudEnd = this.#position;
    if (!this.#speaking) {
      this.#loudRun = loud ? this.#loudRun + 1 : 0;
      if (this.#loudRun < START_FRAMES) return undefined;
      this.#speaking = true;
      this.#loudRun = 0;
      const firstLoud = this.#position - START_FRAMES * FRAME_SAMPLES;
      return { type: 'started', sample: Math.max(0, firstLoud - msToSamples(prefixPaddingMs)) };
    }
    if (this.#position - this.#lastLoudEnd < msToSamples(silenceDurationMs)) return undefined;
    this.#speaking = false;
    return { type: 'stopped', sample: this.#position };
  }

  #learn(level: number, loud: boolean): void {
    const rate = level < this.#floor ? FLOOR_FALLS : loud ? FLOOR_RISES_IN_SPEECH : FLOOR_RISES_IN_SILENCE;
    this.#floor += (level - this.#floor) * rate;
  }
}
