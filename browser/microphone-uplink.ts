import {
  AudioHash,
  encodeHeader,
  int16ToOctets,
  SAMPLE_RATE,
  samplesToMs,
  VOICE_CODEC,
} from '../proto/voice/index.ts';
import { CallError } from './errors.ts';

/** Microphone audio that may wait in the page while the network takes none: ten minutes, 28.8 MB. */
export const MAX_WAITING_SAMPLES = 10 * 60 * SAMPLE_RATE;
/** Octets of audio given to the transport in one write. */
const MAX_WRITE_OCTETS = 32_768;

/** Opens the next uni stream to the backend. */
export type OpenStream = () => Promise<WritableStream<Uint8Array>>;

interface Stretch {
  readonly number: number;
  readonly firstSample: number;
  readonly startMs: number;
  readonly orderedEvents: number;
  readonly chunks: Uint8Array[];
  ended: boolean;
}

/**
 * Carries microphone samples to the backend: one uni stream per unmuted stretch, each sample exactly once and in order.
 * It takes samples before there is a connection and keeps them. What the transport does not take yet waits here and is
 * counted; above `MAX_WAITING_SAMPLES` the call fails rather than lose a word. Delivered is what the backend has acknowledged: what a
 * browser says of its streams is not enough (Firefox fulfils `close` before the peer has acknowledged the FIN).
 */
export class MicrophoneUplink {
  readonly #hash = new AudioHash();
  readonly #stretches: Stretch[] = [];
  readonly #closing = new Set<Promise<void>>();
  #current: Stretch | undefined;
  #stretchCount = 0;
  #orderedEvents = 0;
  #samples = 0;
  #sentSamples = 0;
  #receivedSamples = 0;
  #progress: (() => void)[] = [];
  #wake: (() => void) | undefined;
  #finished = false;

  /** Samples that left the worklet so far. */
  get samples(): number {
    return this.#samples;
  }

  /** FNV-1a, 64 bits, over the PCM16 octets of all of them, as hex. */
  get hash(): string {
    return this.#hash.digest();
  }

  /** Samples that the transport took. */
  get sentSamples(): number {
    return this.#sentSamples;
  }

  /** Samples that the backend has, as it said. */
  get receivedSamples(): number {
    return this.#receivedSamples;
  }

  /** Audio that waits in the page, in ms. */
  get bufferedMs(): number {
    return samplesToMs(this.#samples - this.#sentSamples);
  }

  /** Stretches begun so far. */
  get stretches(): number {
    return this.#stretchCount;
  }

  /** The caller is heard from now on. `startMs` counts from the beginning of the call. */
  begin(startMs: number): void {
    if (this.#current !== undefined) return;
    const number = this.#stretchCount++;
    this.#current = {
      number,
      firstSample: this.#samples,
      startMs,
      orderedEvents: this.#orderedEvents,
      chunks: [],
      ended: false,
    };
    this.#stretches.push(this.#current);
    this.#wakeUp();
  }

  /** Samples that left the worklet, which the uplink now owns. Throws `CallError` when too many wait. */
  push(samples: Int16Array): void {
    if (this.#current === undefined) throw new Error('microphone samples came outside a stretch');
    const octets = int16ToOctets(samples);
    this.#hash.update(octets);
    this.#samples += samples.length;
    this.#current.chunks.push(octets);
    this.#wakeUp();
    if (this.#samples - this.#sentSamples <= MAX_WAITING_SAMPLES) return;
    throw new CallError(
      'queue_full',
      'The network took none of your words for ten minutes.',
      'Check the network, then press Talk to call again.',
    );
  }

  /**
   * An event has its place here in the audio: what was said before it and what is said after it go in different stretches,
   * so that neither overtakes it. Gives the samples before it.
   */
  order(startMs: number): number {
    this.#orderedEvents++;
    if (this.#current !== undefined) {
      this.end();
      this.begin(startMs);
    }
    return this.#samples;
  }

  /** The backend has the first `samples` of all samples. */
  received(samples: number): void {
    const received = Math.min(samples, this.#samples);
    if (received <= this.#receivedSamples) return;
    this.#receivedSamples = received;
    this.#progressed();
  }

  /** Fulfils at the next sample that the transport takes or the backend acknowledges. */
  progress(): Promise<void> {
    return new Promise((resolve) => this.#progress.push(resolve));
  }

  /** The stretch is over (mute, hang-up): its stream ends with a FIN once all of it is sent. */
  end(): void {
    if (this.#current === undefined) return;
    this.#current.ended = true;
    this.#current = undefined;
    this.#wakeUp();
  }

  /** Ends the stretch and the uplink: `run` returns when everything is sent. */
  finish(): void {
    this.end();
    this.#finished = true;
    this.#wakeUp();
  }

  /** Sends until `finish` was called and the transport has it all. Rejects when the transport fails. */
  async run(openStream: OpenStream): Promise<void> {
    for (;;) {
      const stretch = this.#stretches.shift();
      if (stretch !== undefined) await this.#send(stretch, await openStream());
      else if (this.#finished) break;
      else await this.#sleep();
    }
    await Promise.all(this.#closing);
  }

  async #send(stretch: Stretch, stream: WritableStream<Uint8Array>): Promise<void> {
    const writer = stream.getWriter();
    // Failures are seen at the writes; these promises would only be reported a second time as unhandled.
    writer.closed.catch(() => undefined);
    const { number, firstSample, startMs, orderedEvents } = stretch;
    await writer.write(
      encodeHeader({
        type: 'parley.microphone',
        stretch: number,
        firstSample,
        codec: VOICE_CODEC,
        rate: SAMPLE_RATE,
        startMs,
        ...(orderedEvents > 0 && { orderedEvents }),
      }),
    );
    for (;;) {
      const octets = takeOctets(stretch.chunks);
      if (octets !== undefined) {
        await writer.write(octets);
        this.#sentSamples += octets.length / 2;
        this.#progressed();
      } else if (stretch.ended) break;
      else await this.#sleep();
    }
    // Chromium fulfils `close` once the peer has acknowledged the FIN; the next stretch need not wait for that.
    const closing = writer.close().finally(() => this.#closing.delete(closing));
    closing.catch(() => undefined);
    this.#closing.add(closing);
  }

  #progressed(): void {
    for (const resolve of this.#progress.splice(0)) resolve();
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** The octets at the front of the queue, joined up to `MAX_WRITE_OCTETS`, so that a backlog goes out in few writes. */
function takeOctets(chunks: Uint8Array[]): Uint8Array | undefined {
  const first = chunks[0];
  if (first === undefined) return undefined;
  let length = first.length;
  let count = 1;
  for (; count < chunks.length; count++) {
    const next = length + (chunks[count]?.length ?? 0);
    if (next > MAX_WRITE_OCTETS) break;
    length = next;
  }
  const taken = chunks.splice(0, count);
  if (count === 1) return first;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of taken) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
