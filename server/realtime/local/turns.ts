import { OCTETS_PER_SAMPLE, octetsToInt16, samplesToMs } from '../../../proto/voice/index.ts';
import { ClientFault, type EventSink } from './events.ts';
import { shortId } from './ids.ts';
import { SampleBuffer } from './sample-buffer.ts';
import { type VadConfig, VoiceActivityDetector } from './vad.ts';

/** Longest turn: 60 s of PCM16 are 2.9 MB. A longer one is ended by force with a detector, refused without. */
const MAX_TURN_SAMPLES = 60 * 24_000;
/** Shortest turn that may be committed by hand, as in the real API. */
const MIN_COMMIT_MS = 100;

/** What a session does with turns. */
export interface TurnListener {
  /** Someone began to speak. */
  started(): void;
  /** A turn is complete: its audio, and the ID that the user's item is to have. */
  committed(itemId: string, pcm: Uint8Array): void;
}

/** The input audio buffer: cuts what the caller says into turns, by voice activity or by hand. */
export class Turns {
  readonly #sink: EventSink;
  readonly #listener: TurnListener;
  readonly #audio = new SampleBuffer();
  readonly #detector = new VoiceActivityDetector();
  #vad: VadConfig | undefined;
  #itemId = `item_${shortId()}`;
  #turnStart = 0;

  constructor(sink: EventSink, listener: TurnListener, vad: VadConfig | undefined) {
    this.#sink = sink;
    this.#listener = listener;
    this.configure(vad);
  }

  configure(vad: VadConfig | undefined): void {
    this.#vad = vad;
    if (vad === undefined) this.#detector.reset();
    else this.#detector.configure(vad);
  }

  /** Takes whole samples of the caller's. */
  append(pcm: Uint8Array): void {
    const held = this.#audio.endSample - this.#audio.firstSample + pcm.length / OCTETS_PER_SAMPLE;
    if (this.#vad === undefined && held > MAX_TURN_SAMPLES) {
      throw new ClientFault(
        'input_audio_buffer_full',
        `The input audio buffer holds at most ${MAX_TURN_SAMPLES / 24_000} s of audio: commit or clear it.`,
      );
    }
    this.#audio.append(pcm);
    if (this.#vad === undefined) return;
    for (const event of this.#detector.push(octetsToInt16(pcm))) {
      if (event.type === 'started') this.#start(event.sample);
      else this.#stop(event.sample);
    }
    if (this.#detector.speaking && this.#audio.endSample - this.#turnStart > MAX_TURN_SAMPLES) {
      this.#detector.reset();
      this.#stop(this.#audio.endSample);
    }
    this.#forget(this.#vad);
  }

  /** Ends the turn by hand. */
  commit(): void {
    const from = this.#audio.firstSample;
    const bufferedMs = samplesToMs(this.#audio.endSample - from);
    if (bufferedMs < MIN_COMMIT_MS) {
      throw new ClientFault(
        'input_audio_buffer_commit_empty',
        `Error committing input audio buffer: buffer too small. Expected at least ${MIN_COMMIT_MS}ms of audio, but buffer only has ${bufferedMs.toFixed(2)}ms of audio.`,
      );
    }
    this.#commit(from, this.#audio.endSample);
  }

  clear(): void {
    this.#detector.reset();
    this.#audio.dropBefore(this.#audio.endSample);
    this.#sink.emit({ type: 'input_audio_buffer.cleared' });
  }

  #start(sample: number): void {
    this.#turnStart = Math.max(sample, this.#audio.firstSample);
    this.#sink.emit({
      type: 'input_audio_buffer.speech_started',
      audio_start_ms: Math.floor(samplesToMs(this.#turnStart)),
      item_id: this.#itemId,
    });
    this.#listener.started();
  }

  #stop(sample: number): void {
    this.#sink.emit({
      type: 'input_audio_buffer.speech_stopped',
      audio_end_ms: Math.floor(samplesToMs(sample)),
      item_id: this.#itemId,
    });
    this.#commit(this.#turnStart, sample);
  }

  #commit(from: number, to: number): void {
    const pcm = this.#audio.copy(from, to);
    const itemId = this.#itemId;
    this.#itemId = `item_${shortId()}`;
    this.#detector.reset();
    this.#audio.dropBefore(to);
    this.#listener.committed(itemId, pcm);
  }

  /** In silence, only what a turn's prefix may need is kept, and the frames in which a turn is being recognised. */
  #forget(vad: VadConfig): void {
    if (this.#detector.speaking) return;
    const keepSamples = ((vad.prefixPaddingMs + 100) * 24_000) / 1000;
    const keepFrom = Math.floor(this.#audio.endSample - keepSamples);
    // Moving the memory for every few samples would cost more than the samples.
    if (keepFrom - this.#audio.firstSample > keepSamples) this.#audio.dropBefore(keepFrom);
  }
}
