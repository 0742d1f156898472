import { MicrophonePacketizer } from '../audio/microphone-packetizer.ts';
import { levelOf, VOICE_RATE } from '../audio/pcm.ts';
import { Resampler } from '../audio/resampler.ts';
import { MICROPHONE_PROCESSOR, type MicrophoneCommand, type MicrophoneReport } from './messages.ts';

/** How often the level of a microphone is told of which nothing is taken, in s. */
const MUTED_LEVEL_S = 0.2;

/** Takes the microphone's first channel, at the context's rate, and gives PCM16 chunks at 24 kHz to the page. */
class MicrophoneProcessor extends AudioWorkletProcessor {
  readonly #packetizer: MicrophonePacketizer;
  readonly #resampler: Resampler | undefined;
  readonly #resampled = new Float32Array(4096);
  #mutedSquares = 0;
  #mutedSamples = 0;

  constructor() {
    super();
    this.#resampler =
      sampleRate === VOICE_RATE ? undefined : new Resampler(Math.round(sampleRate), VOICE_RATE);
    this.#packetizer = new MicrophonePacketizer(({ samples, firstSample }) => {
      this.#post({ type: 'chunk', samples, firstSample, level: levelOf(samples) }, [samples.buffer]);
    });
    this.port.onmessage = (event: MessageEvent<MicrophoneCommand>) => this.#obey(event.data);
  }

  override process(inputs: Float32Array[][]): boolean {
    const block = inputs[0]?.[0];
    if (block === undefined) return true;
    if (!this.#packetizer.isOpen) this.#listen(block);
    if (this.#resampler === undefined) {
      this.#packetizer.push(block);
      return true;
    }
    this.#resampler.push(block);
    let count = this.#resampler.pull(this.#resampled);
    while (count > 0) {
      this.#packetizer.push(this.#resampled, count);
      count = this.#resampler.pull(this.#resampled);
    }
    return true;
  }

  /** Takes the level alone, not a sample. */
  #listen(block: Float32Array): void {
    for (const sample of block) this.#mutedSquares += sample * sample;
    this.#mutedSamples += block.length;
    if (this.#mutedSamples < MUTED_LEVEL_S * sampleRate) return;
    this.#post({ type: 'muted', level: Math.sqrt(this.#mutedSquares / this.#mutedSamples) }, []);
    this.#mutedSquares = 0;
    this.#mutedSamples = 0;
  }

  #obey(command: MicrophoneCommand): void {
    if (command.type === 'open') {
      this.#packetizer.open();
      this.#post({ type: 'opened' }, []);
      return;
    }
    this.#packetizer.close();
    this.#post({ type: 'closed', emittedSamples: this.#packetizer.emittedSamples }, []);
  }

  #post(report: MicrophoneReport, transfer: Transferable[]): void {
    this.port.postMessage(report, transfer);
  }
}

registerProcessor(MICROPHONE_PROCESSOR, MicrophoneProcessor);
