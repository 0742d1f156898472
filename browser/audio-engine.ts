import { VOICE_RATE } from './audio/pcm.ts';
import { audioError, CallError, microphoneError } from './errors.ts';
import { MICROPHONE_PROCESSOR, PLAYBACK_PROCESSOR } from './worklets/messages.ts';

/** Where the bundled worklets lie. */
export interface WorkletUrls {
  readonly microphone: string | URL;
  readonly playback: string | URL;
}

/** Microphone and speaker of one call, joined to their worklets. */
export interface AudioEngine {
  readonly microphone: AudioWorkletNode;
  readonly playback: AudioWorkletNode;
  /** What the browser made of the wish for 24 kHz; other rates are converted in the worklets. */
  readonly microphoneRate: number;
  readonly playbackRate: number;
  close(): void;
}

/** The hardware as far as it is open, so that a call that fails half way gives it back. */
class Hardware {
  readonly contexts: AudioContext[] = [];
  stream: MediaStream | undefined;
  closed = false;

  context(sampleRate?: number): AudioContext {
    const context = new AudioContext({ latencyHint: 'interactive', ...(sampleRate && { sampleRate }) });
    this.contexts.push(context);
    return context;
  }

  close(): void {
    this.closed = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    for (const context of this.contexts) if (context.state !== 'closed') void context.close();
  }
}

/**
 * Opens microphone and speaker. Call it from a click, as browsers start audio only then. `onLost` is told when the
 * microphone is taken away later. Rejects with a `CallError`; whatever was open is closed again.
 */
export async function openAudio(
  worklets: WorkletUrls,
  constraints: MediaTrackConstraints,
  signal: AbortSignal,
  onLost: (error: CallError) => void,
): Promise<AudioEngine> {
  const hardware = new Hardware();
  const abort = () => hardware.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    const engine = await startAudio(hardware, worklets, constraints);
    signal.throwIfAborted();
    hardware.stream?.getAudioTracks()[0]?.addEventListener('ended', () => {
      if (!hardware.closed) onLost(microphoneError(new DOMException('the track ended', 'NotReadableError')));
    });
    return engine;
  } catch (error) {
    hardware.close();
    throw error instanceof CallError ? error : audioError(error);
  }
}

async function startAudio(
  hardware: Hardware,
  worklets: WorkletUrls,
  constraints: MediaTrackConstraints,
): Promise<AudioEngine> {
  const context = hardware.context(VOICE_RATE);
  const [stream] = await Promise.all([
    askForMicrophone(hardware, constraints),
    context.audioWorklet.addModule(worklets.playback),
    context.audioWorklet.addModule(worklets.microphone),
    context.resume(),
  ]);
  const playback = new AudioWorkletNode(context, PLAYBACK_PROCESSOR, {
    numberOfInputs: 0,
    outputChannelCount: [1],
  });
  playback.connect(context.destination);
  const microphone = await joinMicrophone(hardware, context, stream, worklets.microphone);
  return {
    microphone,
    playback,
    microphoneRate: microphone.context.sampleRate,
    playbackRate: context.sampleRate,
    close: () => hardware.close(),
  };
}

async function askForMicrophone(
  hardware: Hardware,
  constraints: MediaTrackConstraints,
): Promise<MediaStream> {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints, video: false });
    hardware.stream = stream;
    // Hung up while the browser was asking: let the microphone go again.
    if (hardware.closed) hardware.close();
    return stream;
  } catch (error) {
    throw microphoneError(error);
  }
}

/**
 * Firefox refuses to join a microphone to a context of another rate (NotSupportedError); then the microphone gets a
 * context at its own rate, and its worklet converts to 24 kHz.
 */
async function joinMicrophone(
  hardware: Hardware,
  context: AudioContext,
  stream: MediaStream,
  module: string | URL,
): Promise<AudioWorkletNode> {
  try {
    return connectMicrophone(context, stream);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== 'NotSupportedError') throw error;
  }
  const own = hardware.context();
  await Promise.all([own.audioWorklet.addModule(module), own.resume()]);
  return connectMicrophone(own, stream);
}

function connectMicrophone(context: AudioContext, stream: MediaStream): AudioWorkletNode {
  const source = context.createMediaStreamSource(stream);
  const node = new AudioWorkletNode(context, MICROPHONE_PROCESSOR, {
    numberOfOutputs: 1,
    channelCount: 1,
    channelCountMode: 'explicit',
  });
  source.connect(node);
  // It puts out silence; joined to the destination all the same, as a graph without an end may not be run.
  node.connect(context.destination);
  return node;
}
