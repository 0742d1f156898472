import type { AudioState } from './audio-contexts.ts';
import { AudioAhead, type AudioEngine, type AudioListener, openAudio } from './audio-engine.ts';
import type { CallOptions } from './call-types.ts';
import { CallError, type CallErrorCode, toCallError } from './errors.ts';
import { Microphone } from './microphone.ts';
import type { MicrophoneAudio } from './microphone-audio.ts';
import {
  type MicrophoneNews,
  type MicrophoneReason,
  type MicrophoneState,
  MicrophoneStatus,
} from './microphone-status.ts';
import { MutedSpeech } from './muted-speech.ts';

/** What a failure says of the microphone. */
const REASONS: Partial<Record<CallErrorCode, MicrophoneReason>> = {
  microphone_denied: 'not_allowed',
  microphone_missing: 'no_device',
};

/** What the caller's audio needs of its call. */
export interface CallerAudioHost {
  /** Time since the call began, in ms. */
  elapsedMs(): number;
  /** Root mean square of the last 20 ms of the microphone, 0 to 1. */
  level(level: number): void;
  muted(muted: boolean): void;
  /** The caller speaks, and the page has muted the microphone. */
  spokeMuted(): void;
  microphone(news: MicrophoneNews): void;
  audio(state: AudioState): void;
  /** The last sample before a mute has come. */
  stretchEnded(): void;
  failed(error: CallError): void;
}

/**
 * The hardware of a call, and the way of the microphone's samples into what is kept. The microphone is taken from the first
 * moment, and its audio kept until there is a connection, so that the first word is never lost to the handshake.
 */
export class CallerAudio {
  readonly #audio: MicrophoneAudio;
  readonly #host: CallerAudioHost;
  readonly #status: MicrophoneStatus;
  #muted: boolean;
  #over = false;
  #audioState: AudioState = 'starting';
  #microphone: Microphone | undefined;
  #engine: AudioEngine | undefined;
  #ahead: AudioAhead | undefined;
  #volume = 1;
  readonly #mutedSpeech = new MutedSpeech();

  constructor(muted: boolean, audio: MicrophoneAudio, host: CallerAudioHost) {
    this.#muted = muted;
    this.#audio = audio;
    this.#host = host;
    this.#status = new MicrophoneStatus(muted, (news) => host.microphone(news));
  }

  get muted(): boolean {
    return this.#muted;
  }

  get microphoneState(): MicrophoneState {
    return this.#status.state;
  }

  get audioState(): AudioState {
    return this.#audioState;
  }

  /** Whether samples from before a mute may still come. */
  get closing(): boolean {
    return this.#microphone?.closing ?? false;
  }

  get playbackRate(): number | undefined {
    return this.#engine?.playbackRate;
  }

  get microphoneRate(): number | undefined {
    return this.#engine?.microphoneRate;
  }

  /** Makes ready what needs no click. What fails of it is tried again, and told, by `open`. */
  prepare({ worklets }: CallOptions): void {
    try {
      this.#ahead = new AudioAhead(worklets);
    } catch {
      // The browser has no context to give now.
    }
  }

  /** Asks for the microphone, starts the browser's audio and joins playback to it. Rejects with a `CallError`. */
  async open(
    options: CallOptions,
    playback: { attach(port: MessagePort): void },
    signal: AbortSignal,
  ): Promise<void> {
    const constraints: MediaTrackConstraints = {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      channelCount: 1,
      ...options.microphone,
    };
    const listener: AudioListener = {
      audio: (state) => {
        this.#audioState = state;
        this.#status.update({ audioSuspended: state === 'suspended' });
        this.#host.audio(state);
      },
      granted: () => this.#status.update({ granted: true, flowing: false, deviceLost: false }),
      trackMuted: (trackMuted) => this.#status.update({ trackMuted }),
      lost: () => this.#status.update({ deviceLost: true }),
      failed: (error) => {
        this.#noteFailure(error);
        this.#host.failed(error);
      },
    };
    const engine = await openAudio(options.worklets, constraints, signal, listener, this.#ahead).catch(
      (error) => {
        this.#noteFailure(toCallError(error));
        throw error;
      },
    );
    this.#engine = engine;
    if (this.#volume !== 1) engine.setVolume(this.#volume);
    playback.attach(engine.playback.port);
    this.#microphone = new Microphone(engine.microphone.port, {
      opened: () => this.#audio.begin(this.#host.elapsedMs()),
      closed: () => {
        this.#audio.end();
        this.#host.stretchEnded();
      },
      samples: (samples, level) => this.#take(samples, level),
      mutedLevel: (level) => {
        if (this.#status.state === 'muted' && this.#mutedSpeech.take(level)) this.#host.spokeMuted();
      },
    });
    if (!this.#muted) this.#microphone.open();
  }

  /** How loud answers are played, 0 to 1. */
  get volume(): number {
    return this.#volume;
  }

  setVolume(volume: number): void {
    this.#volume = Math.min(1, Math.max(0, volume));
    this.#engine?.setVolume(this.#volume);
  }

  /** Another microphone. Rejects with a `CallError`. */
  async setMicrophone(deviceId: string): Promise<void> {
    await this.#running.setMicrophone(deviceId);
  }

  /** Another speaker. Rejects with a `CallError`. */
  async setSpeaker(deviceId: string): Promise<void> {
    await this.#running.setSpeaker(deviceId);
  }

  get #running(): AudioEngine {
    if (this.#engine !== undefined && !this.#over) return this.#engine;
    throw new CallError(
      'audio_failed',
      'There is no audio to change: the call has none yet, or is over.',
      'Wait until the microphone is live.',
    );
  }

  /** Stops taking the microphone, or takes it again. */
  setMuted(muted: boolean): void {
    if (muted === this.#muted) return;
    this.#muted = muted;
    this.#status.update({ muted });
    this.#mutedSpeech.reset();
    if (muted) void this.#microphone?.close();
    else this.#microphone?.open();
    if (muted) this.#host.level(0);
    this.#host.muted(muted);
  }

  /** Takes no more samples; fulfils when the last one is kept. */
  async stop(): Promise<void> {
    await this.#microphone?.close();
  }

  /** The call is over: gives the hardware back. */
  close(): void {
    this.#over = true;
    this.#engine?.close();
    // Closes it also where the caller never talked; a second close does no harm.
    this.#ahead?.close();
    this.#status.update({ over: true });
  }

  #take(samples: Int16Array, level: number): void {
    if (this.#over) return;
    this.#audio.push(samples);
    if (this.#status.state === 'asking') this.#status.update({ flowing: true });
    this.#host.level(this.#muted ? 0 : level);
  }

  #noteFailure(error: CallError): void {
    this.#status.update({ failure: REASONS[error.code] ?? 'no_sound' });
  }
}
