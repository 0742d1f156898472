import { CallError, microphoneError } from './errors.ts';

/** How often another microphone is asked for after the first was lost, in ms; a change of devices is asked at once. */
const RETRY_MS = 3000;

/** What the device tells after it was opened. */
export interface DeviceListener {
  /** The system muted it, or unmuted it. */
  muted(muted: boolean): void;
  /** It was unplugged, or taken away. Another one is looked for. */
  lost(): void;
  /** Another one was found. */
  found(stream: MediaStream): void;
  /** There will be none: the page may not use the microphone any more. */
  failed(error: CallError): void;
}

/** The microphone as the browser gives it: asked for once, watched, and asked for again when the device vanishes. */
export class MicrophoneDevice {
  #constraints: MediaTrackConstraints;
  readonly #listener: DeviceListener;
  #stream: MediaStream | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #searching = false;
  #asking = false;
  #closed = false;
  readonly #search = () => void this.#lookForAnother();

  constructor(constraints: MediaTrackConstraints, listener: DeviceListener) {
    this.#constraints = constraints;
    this.#listener = listener;
    navigator.mediaDevices.addEventListener('devicechange', this.#search);
  }

  /** Asks for the microphone. Rejects with a `CallError`. */
  async open(): Promise<MediaStream> {
    try {
      return this.#take(await ask(this.#constraints));
    } catch (error) {
      throw error instanceof CallError ? error : microphoneError(error);
    }
  }

  /** Another device from now on; the one before is used until it is there. Rejects with a `CallError`, and then that stays. */
  async change(deviceId: string): Promise<void> {
    const constraints = { ...this.#constraints, deviceId: { exact: deviceId } };
    const before = this.#stream;
    try {
      const stream = this.#take(await ask(constraints));
      this.#constraints = { ...constraints, deviceId };
      this.#searching = false;
      stop(before);
      this.#listener.found(stream);
    } catch (error) {
      throw microphoneError(error);
    }
  }

  close(): void {
    this.#closed = true;
    this.#searching = false;
    clearTimeout(this.#timer);
    navigator.mediaDevices.removeEventListener('devicechange', this.#search);
    stop(this.#stream);
  }

  #take(stream: MediaStream): MediaStream {
    // Hung up while the browser was asking: let the microphone go again.
    if (this.#closed) {
      stop(stream);
      throw new DOMException('the call is over', 'AbortError');
    }
    this.#stream = stream;
    const track = stream.getAudioTracks()[0];
    const current = () => !this.#closed && this.#stream === stream;
    const muted = () => {
      if (current()) this.#listener.muted(track?.muted ?? false);
    };
    track?.addEventListener('mute', muted);
    track?.addEventListener('unmute', muted);
    track?.addEventListener('ended', () => {
      if (!current()) return;
      this.#searching = true;
      this.#listener.lost();
      this.#search();
    });
    muted();
    return stream;
  }

  async #lookForAnother(): Promise<void> {
    if (!this.#searching || this.#asking) return;
    clearTimeout(this.#timer);
    this.#asking = true;
    try {
      const stream = this.#take(await askForAny(this.#constraints));
      this.#searching = false;
      this.#listener.found(stream);
    } catch (error) {
      if (this.#closed) return;
      const fault = microphoneError(error);
      if (fault.code === 'microphone_denied') {
        this.#searching = false;
        this.#listener.failed(fault);
      } else this.#timer = setTimeout(this.#search, RETRY_MS);
    } finally {
      this.#asking = false;
    }
  }
}

function ask(audio: MediaTrackConstraints): Promise<MediaStream> {
  return navigator.mediaDevices.getUserMedia({ audio, video: false });
}

/** The device that was wished for, or any other where it is gone. */
async function askForAny(constraints: MediaTrackConstraints): Promise<MediaStream> {
  if (constraints.deviceId === undefined) return ask(constraints);
  try {
    return await ask(constraints);
  } catch (error) {
    const name = error instanceof Error || error instanceof DOMException ? error.name : '';
    if (name !== 'OverconstrainedError' && name !== 'NotFoundError') throw error;
    const { deviceId: _gone, ...others } = constraints;
    return ask(others);
  }
}

function stop(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
