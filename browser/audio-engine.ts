import { VOICE_RATE } from './audio/pcm.ts';
import { AudioContexts, type AudioState, newAudioContext } from './audio-contexts.ts';
import { audioError, CallError } from './errors.ts';
import { MicrophoneDevice } from './microphone-device.ts';
import { addWorklet, type WorkletUrls } from './worklet-modules.ts';
import { MICROPHONE_PROCESSOR, PLAYBACK_PROCESSOR } from './worklets/messages.ts';

/** How soon a change of volume is heard, in s: a jump would click. */
const VOLUME_RAMP_S = 0.02;

/** Microphone and speaker of one call, joined to their worklets. */
export interface AudioEngine {
  readonly microphone: AudioWorkletNode;
  readonly playback: AudioWorkletNode;
  /** What the browser made of the wish for 24 kHz; other rates are converted in the worklets. */
  readonly microphoneRate: number;
  readonly playbackRate: number;
  /** Takes another microphone. Rejects with a `CallError`; the one before stays then. */
  setMicrophone(deviceId: string): Promise<void>;
  /** Plays on another device; the empty text is the system's choice. Rejects with a `CallError`. */
  setSpeaker(deviceId: string): Promise<void>;
  /** How loud answers are played: 1 as they come, 0 not at all. */
  setVolume(volume: number): void;
  close(): void;
}

/** What the engine tells of microphone and speaker while it runs. */
export interface AudioListener {
  /** The system suspended the audio, or it runs again. */
  audio(state: AudioState): void;
  /** The browser gave a microphone; again when one was lost and another found. */
  granted(): void;
  /** The system muted the microphone, or unmuted it. */
  trackMuted(muted: boolean): void;
  /** The microphone vanished; another one is looked for. */
  lost(): void;
  /** The call cannot go on. */
  failed(error: CallError): void;
}

/**
 * The part of the audio that needs no click and no permission: a context that rests, and the worklets in it. A call that is prepared makes it
 * before the click, for a browser's first context takes 150 ms and the worklets 20 to 100. No device is held by it.
 */
export class AudioAhead {
  readonly context = newAudioContext(VOICE_RATE);
  readonly #worklets: WorkletUrls | undefined;
  readonly #loading: Promise<unknown>;

  /** Throws what the browser throws. */
  constructor(worklets: WorkletUrls | undefined) {
    this.#worklets = worklets;
    // Where the page was clicked before, a context would run at once.
    this.context.suspend().catch(() => undefined);
    this.#loading = addWorklets(this.context, worklets);
    this.#loading.catch(() => undefined);
  }

  /** Fulfils when the worklets are there; they are asked for once more where they were not to be had. */
  async loaded(): Promise<void> {
    await this.#loading.catch(() => addWorklets(this.context, this.#worklets));
  }

  close(): void {
    this.context.close().catch(() => undefined);
  }
}

async function addWorklets(context: AudioContext, worklets: WorkletUrls | undefined): Promise<void> {
  await Promise.all([addWorklet(context, 'playback', worklets), addWorklet(context, 'microphone', worklets)]);
}

/**
 * Opens microphone and speaker. Call it from a click, as browsers start audio only then; without one, it starts with the
 * first. Rejects with a `CallError`; what was open is closed again.
 */
export async function openAudio(
  worklets: WorkletUrls | undefined,
  constraints: MediaTrackConstraints,
  signal: AbortSignal,
  listener: AudioListener,
  ahead?: AudioAhead,
): Promise<AudioEngine> {
  const contexts = new AudioContexts((state) => listener.audio(state));
  let input: MicrophoneInput | undefined;
  const device = new MicrophoneDevice(constraints, {
    muted: (muted) => listener.trackMuted(muted),
    lost: () => {
      input?.disconnect();
      listener.lost();
    },
    found: (stream) => {
      try {
        input?.connect(stream);
        listener.granted();
      } catch (error) {
        listener.failed(audioError(error));
      }
    },
    failed: (error) => listener.failed(error),
  });
  const close = () => {
    device.close();
    contexts.close();
  };
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    const context = contexts.open(ahead?.context ?? newAudioContext(VOICE_RATE));
    const [stream] = await Promise.all([device.open(), ahead?.loaded() ?? addWorklets(context, worklets)]);
    const { node: playback, gain } = speaker(context);
    input = await joinMicrophone(contexts, context, stream, worklets);
    signal.throwIfAborted();
    listener.granted();
    const microphone = input.node;
    const microphoneRate = microphone.context.sampleRate;
    return {
      microphone,
      playback,
      microphoneRate,
      playbackRate: context.sampleRate,
      setMicrophone: (deviceId) => device.change(deviceId),
      setSpeaker: (deviceId) => setSink(context, deviceId),
      setVolume: (volume) => gain.gain.setTargetAtTime(volume, context.currentTime, VOLUME_RAMP_S),
      close,
    };
  } catch (error) {
    close();
    throw error instanceof CallError ? error : audioError(error);
  }
}

function speaker(context: AudioContext): { readonly node: AudioWorkletNode; readonly gain: GainNode } {
  const node = new AudioWorkletNode(context, PLAYBACK_PROCESSOR, {
    numberOfInputs: 0,
    outputChannelCount: [1],
  });
  const gain = context.createGain();
  node.connect(gain).connect(context.destination);
  return { node, gain };
}

/** Not every browser has it, and the types of the language know it in none. */
async function setSink(context: AudioContext, deviceId: string): Promise<void> {
  const { setSinkId } = context as { setSinkId?: (deviceId: string) => Promise<void> };
  if (setSinkId === undefined)
    throw new CallError(
      'audio_failed',
      'This browser lets a page choose no speaker.',
      "Choose it in the system's settings.",
    );
  try {
    await setSinkId.call(context, deviceId);
  } catch (error) {
    throw audioError(error);
  }
}

/**
 * Firefox refuses to join a microphone to a context of another rate (NotSupportedError); then the microphone gets a
 * context at its own rate, and its worklet converts to 24 kHz.
 */
async function joinMicrophone(
  contexts: AudioContexts,
  context: AudioContext,
  stream: MediaStream,
  worklets: WorkletUrls | undefined,
): Promise<MicrophoneInput> {
  try {
    return new MicrophoneInput(context, stream);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== 'NotSupportedError') throw error;
  }
  const own = contexts.open(newAudioContext());
  await addWorklet(own, 'microphone', worklets);
  return new MicrophoneInput(own, stream);
}

/** The microphone's worklet, and what is connected to it. */
class MicrophoneInput {
  readonly node: AudioWorkletNode;
  readonly #context: AudioContext;
  #source: MediaStreamAudioSourceNode;

  constructor(context: AudioContext, stream: MediaStream) {
    this.#context = context;
    this.#source = context.createMediaStreamSource(stream);
    this.node = new AudioWorkletNode(context, MICROPHONE_PROCESSOR, {
      numberOfOutputs: 1,
      channelCount: 1,
      channelCountMode: 'explicit',
    });
    this.#source.connect(this.node);
    // It puts out silence; joined to the destination all the same, as a graph without an end may not be run.
    this.node.connect(context.destination);
  }

  disconnect(): void {
    this.#source.disconnect();
  }

  /** Another device takes the place of the one before. */
  connect(stream: MediaStream): void {
    this.#source.disconnect();
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.node);
  }
}
