import type { Page } from 'playwright-core';
import type { ServiceObserver } from '../../server/realtime/local/index.ts';

/** 20 ms. */
const WINDOW_SAMPLES = 480;
/** A jump below it is no click. */
const CLICK_DB = -40;
/** 20 ms. */
const NOISE_SAMPLES = 480;
/** So many samples that are the same are no chance: silence may be the same in Opus. */
const EXACT_SAMPLES = 4800;
/** Where the two are compared, in samples either way: as far as a codec could be mistaken about its delay. */
const SHIFTS = 24;

/** In the page: keeps what leaves the microphone's worklet, and when. */
const CAPTURE = `(() => {
  const captured = { chunks: [], at: [] };
  window.captured = captured;
  const Node = AudioWorkletNode;
  window.AudioWorkletNode = class extends Node {
    constructor(context, name, options) {
      super(context, name, options);
      if (name !== 'parley-microphone') return;
      this.port.addEventListener('message', ({ data }) => {
        if (data.type !== 'chunk') return;
        captured.at.push(performance.timeOrigin + performance.now());
        captured.chunks.push(data.samples.slice());
      });
    }
  };
})()`;

/** So many samples, in all, by this moment, in ms since 1970. */
export interface SamplesBy {
  readonly samples: number;
  readonly at: number;
}

/** Audio at both ends of a call, PCM16 at 24 kHz, and when it was there. */
export interface WordsRecord {
  readonly said: Int16Array;
  /** When it left the microphone's worklet. */
  readonly taken: readonly SamplesBy[];
  readonly heard: Int16Array;
  /** When it came to the upstream. */
  readonly arrivals: readonly SamplesBy[];
}

/** What was said in a page and what of it came to the upstream, sample by sample, with times. */
export class SpokenWords {
  readonly #heard: Uint8Array[] = [];
  readonly #arrivals: SamplesBy[] = [];
  #heardSamples = 0;

  /** For the local realtime service. */
  readonly observer: ServiceObserver = {
    onAppend: (_, pcm) => {
      this.#heard.push(pcm.slice());
      this.#heardSamples += pcm.length / 2;
      this.#arrivals.push({ samples: this.#heardSamples, at: performance.timeOrigin + performance.now() });
    },
  };

  get heardSamples(): number {
    return this.#heardSamples;
  }

  /** Has the page keep what it says. The page is loaded anew. */
  async watch(page: Page): Promise<void> {
    await page.addInitScript(CAPTURE);
    await page.reload();
  }

  /** Both ends' audio and times, as they are now. */
  async record(page: Page): Promise<WordsRecord> {
    const { base64, at, lengths } = JSON.parse(
      (await page.evaluate(`(async () => {
        const { chunks, at } = window.captured;
        const blob = new Blob(chunks);
        const url = await new Promise((resolve) => {
          const reader = new FileReader();
          reader.onload = () => resolve(reader.result);
          reader.readAsDataURL(blob);
        });
        return JSON.stringify({ base64: url.slice(url.indexOf(',') + 1), at, lengths: chunks.map(({ length }) => length) });
      })()`)) as string,
    ) as { base64: string; at: number[]; lengths: number[] };
    let end = 0;
    return {
      said: toSamples(Buffer.from(base64, 'base64')),
      taken: lengths.map((length, i) => {
        end += length;
        return { samples: end, at: at[i]! };
      }),
      heard: toSamples(Buffer.concat(this.#heard)),
      arrivals: [...this.#arrivals],
    };
  }

  /** Compares both, once the call is over. */
  async compare(page: Page): Promise<Comparison> {
    const { said, heard, taken, arrivals } = await this.record(page);
    return new Comparison(said, heard, delays(taken, arrivals));
  }
}

/** How late each 20 ms came, in ms, in the order in which they were said. */
function delays(taken: readonly SamplesBy[], arrivals: readonly SamplesBy[]): number[] {
  let next = 0;
  const found: number[] = [];
  for (const { samples, at } of taken) {
    while (next < arrivals.length && arrivals[next]!.samples < samples) next += 1;
    const arrival = arrivals[next];
    if (arrival === undefined) break;
    found.push(arrival.at - at);
  }
  return found;
}

export function toSamples(octets: Buffer): Int16Array {
  return new Int16Array(octets.buffer.slice(octets.byteOffset, octets.byteOffset + octets.length));
}

export class Comparison {
  readonly said: Int16Array;
  readonly heard: Int16Array;
  readonly delaysMs: readonly number[];

  constructor(said: Int16Array, heard: Int16Array, delaysMs: readonly number[]) {
    this.said = said;
    this.heard = heard;
    this.delaysMs = delaysMs;
  }

  /** Delay of each 20 ms below which this share of them is; of those said from `fromMs` on. */
  delayMs(share: number, fromMs = 0): number {
    const sorted = this.delaysMs.slice(fromMs / 20).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  }

  /**
   * The longest run of audible windows of 20 ms that are not the same wave at both ends, in ms: what is missing, or stands
   * elsewhere than where it was said. In quiet windows there is nothing to compare.
   */
  get longestGapMs(): number {
    let [longest, run] = [0, 0];
    for (let at = SHIFTS; at + WINDOW_SAMPLES + SHIFTS < this.said.length; at += WINDOW_SAMPLES) {
      if (rms(this.said, at) < 200) continue;
      run = this.#likeness(at) > 0.5 ? 0 : run + 1;
      longest = Math.max(longest, run);
    }
    return longest * 20;
  }

  /** Windows in which something is to be compared. */
  get audibleWindows(): number {
    let count = 0;
    for (let at = SHIFTS; at + WINDOW_SAMPLES + SHIFTS < this.said.length; at += WINDOW_SAMPLES)
      if (rms(this.said, at) >= 200) count += 1;
    return count;
  }

  /** The shift at which both fit best over everything, in samples: 0 when every sample stands in its place. */
  get shift(): number {
    let best = 0;
    let most = Number.NEGATIVE_INFINITY;
    for (let shift = -SHIFTS; shift <= SHIFTS; shift++) {
      let sum = 0;
      for (let i = SHIFTS; i < this.said.length - SHIFTS; i += 3)
        sum += this.said[i]! * (this.heard[i + shift] ?? 0);
      if (sum > most) [most, best] = [sum, shift];
    }
    return best;
  }

  /** How alike both are as a whole, sample by sample: 1 for the same wave. */
  get correlation(): number {
    let [xy, xx, yy] = [0, 0, 0];
    for (let i = 0; i < this.said.length; i++) {
      const [x, y] = [this.said[i]!, this.heard[i] ?? 0];
      xy += x * y;
      xx += x * x;
      yy += y * y;
    }
    return xy / Math.sqrt(xx * yy || 1);
  }

  /** Samples at which audio that came as it was said meets audio that did not, which is Opus. */
  get seams(): number[] {
    const seams: number[] = [];
    let exact = true;
    let [first, last] = [0, 0];
    for (let at = 0; at < this.said.length; at++) {
      if (this.said[at] !== this.heard[at]) {
        if (exact) first = at;
        exact = false;
        last = at;
      } else if (!exact && at - last > EXACT_SAMPLES) {
        seams.push(first, last + 1);
        exact = true;
      }
    }
    if (!exact) seams.push(first);
    return seams.filter((at) => at > 0);
  }

  /** How far what is wrong with the audio jumps from one sample to the next there, in dB of full scale. */
  clickDb(seam: number): number {
    const error = (sample: number) => (this.heard[sample] ?? 0) - (this.said[sample] ?? 0);
    return 20 * Math.log10(Math.abs(error(seam) - error(seam - 1)) / 32_768 + 1e-9);
  }

  /**
   * Whether a click is heard there: a jump above -40 dB that also stands out of what Opus is wrong by in the 20 ms around it. Where speech
   * hisses loudly, that noise alone jumps by -27 dB from each sample to the next, and no seam can be smoother than what it joins.
   */
  clicksAt(seam: number): boolean {
    const before = this.#meanJumpDb(seam - NOISE_SAMPLES, seam);
    const behind = this.#meanJumpDb(seam + 1, seam + 1 + NOISE_SAMPLES);
    return this.clickDb(seam) > Math.max(CLICK_DB, before, behind);
  }

  /** The mean power of what `clickDb` measures, over a range of samples. */
  #meanJumpDb(from: number, to: number): number {
    let sum = 0;
    for (let at = from; at < to; at++) sum += 10 ** (this.clickDb(at) / 10);
    return 10 * Math.log10(sum / (to - from));
  }

  #likeness(at: number): number {
    let best = 0;
    for (let shift = -SHIFTS; shift <= SHIFTS; shift++) {
      let [xy, xx, yy] = [0, 0, 0];
      for (let i = at; i < at + WINDOW_SAMPLES; i++) {
        const [x, y] = [this.said[i]!, this.heard[i + shift] ?? 0];
        xy += x * y;
        xx += x * x;
        yy += y * y;
      }
      best = Math.max(best, xy / Math.sqrt(xx * yy || 1));
    }
    return best;
  }
}

function rms(samples: Int16Array, at: number): number {
  let sum = 0;
  for (let i = at; i < at + WINDOW_SAMPLES; i++) sum += samples[i]! ** 2;
  return Math.sqrt(sum / WINDOW_SAMPLES);
}
