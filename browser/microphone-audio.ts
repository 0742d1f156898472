import { AudioHash, int16ToOctets, type MicrophoneArchive } from '../proto/voice/index.ts';

/**
 * What the caller said, as it leaves the worklet: counted, hashed, and kept in the archive, from which every session of the
 * call sends it. It is taken whether there is a session or not.
 */
export class MicrophoneAudio {
  readonly #archive: MicrophoneArchive;
  readonly #hash = new AudioHash();
  readonly #changed: () => void;
  #open = false;
  #orderedEvents = 0;

  /** `changed` is called when there is more to send. */
  constructor(archive: MicrophoneArchive, changed: () => void) {
    this.#archive = archive;
    this.#changed = changed;
  }

  /** Samples that left the worklet so far. */
  get samples(): number {
    return this.#archive.samples;
  }

  /** FNV-1a, 64 bits, over the PCM16 octets of all of them, as hex. */
  get hash(): string {
    return this.#hash.digest();
  }

  /** Stretches begun so far. */
  get stretches(): number {
    return this.#archive.stretches;
  }

  /** Events so far that have their place in the audio. */
  get orderedEvents(): number {
    return this.#orderedEvents;
  }

  /** The caller is heard from now on. `startMs` counts from the beginning of the call. */
  begin(startMs: number): void {
    if (this.#open) return;
    this.#open = true;
    this.#archive.begin(startMs, this.#orderedEvents);
    this.#changed();
  }

  /** Samples that left the worklet, whose memory goes to the archive. */
  push(samples: Int16Array): void {
    if (!this.#open) throw new Error('microphone samples came outside a stretch');
    const octets = int16ToOctets(samples);
    this.#hash.update(octets);
    this.#archive.push(octets);
    this.#changed();
  }

  /**
   * An event has its place here in the audio: what was said before it and what is said after it go in different stretches,
   * so that neither overtakes it. Gives the samples before it.
   */
  order(startMs: number): number {
    this.#orderedEvents += 1;
    if (this.#open) {
      this.end();
      this.begin(startMs);
    }
    return this.samples;
  }

  /** The stretch is over: mute, or hang-up. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#archive.end();
    this.#changed();
  }
}
