import {
  type ArchivedStretch,
  encodeHeader,
  type MicrophoneArchive,
  type MicrophoneHeader,
  OCTETS_PER_SAMPLE,
  OPUS_CODEC,
  SAMPLE_RATE,
  VOICE_CODEC,
} from '../proto/voice/index.ts';
import { CallError } from './errors.ts';
import type { OpusModule } from './opus-module.ts';

/** Octets of audio given to the transport in one write. */
const MAX_WRITE_OCTETS = 32_768;

/** Where an uplink takes its audio, and where it goes. */
export interface UplinkOptions {
  readonly archive: MicrophoneArchive;
  /** First sample to send. */
  readonly from: number;
  /** Number of the rewind that it follows; 0 for none in this session. */
  readonly rewind: number;
  /** How often streams of this session were given up, and from where the last time; absent when they never were. */
  readonly resend?: MicrophoneHeader['resend'];
  /** What sends Opus while that is wanted; absent: PCM always. */
  opus?(): OpusModule | undefined;
  /** The browser's encoder failed. */
  opusFailed?(): void;
  /** The sample up to which PCM may be given to the transport; absent: no bound. */
  pcmBound?(): number;
  /** Ordered events that this session was given, of the first `count` of the call. */
  orderedEvents(count: number): number;
  /** The transport took more. */
  sent(): void;
  /** Opens the next uni stream to the backend. */
  openStream(): Promise<WritableStream<Uint8Array>>;
}

/**
 * Carries microphone audio from the archive to one session: one uni stream per unmuted stretch, each sample exactly once and
 * in order. What was sent stays in the archive until a checkpoint releases it. Delivered is what the backend has acknowledged: what a
 * browser says of its streams is not enough (Firefox fulfils `close` before the peer has acknowledged the FIN).
 */
export class MicrophoneUplink {
  readonly #options: UplinkOptions;
  /** Streams whose FIN was written, each until its peer has it. */
  readonly #closing = new Map<WritableStreamDefaultWriter<Uint8Array>, Promise<void>>();
  #position: number;
  /** The archive's number of the first stretch that was not sent to its end. */
  #stretch = 0;
  /** The last stream ended in the middle of a stretch, and was Opus. */
  #leftOpus = false;
  /** Streams of this uplink so far. */
  #streams = 0;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #wake: (() => void) | undefined;
  #finished = false;
  #stopped = false;

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#position = options.from;
  }

  /** The sample behind the last one that the transport took. */
  get position(): number {
    return this.#position;
  }

  /** There is more in the archive. */
  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** `run` returns when everything that is in the archive is sent. */
  finish(): void {
    this.#finished = true;
    this.wake();
  }

  /**
   * Sends no more. The stream under way is left to its session, which is closed: Chromium 156's renderer crashes when a stream is
   * aborted and its session closed in the same task.
   */
  stop(): void {
    this.#stopped = true;
    this.wake();
  }

  /** Sends no more; the stream under way is reset (`StreamCode.CANCELLED`, which is what `abort` sends). */
  abort(): void {
    this.stop();
    this.#writer?.abort().catch(() => undefined);
    for (const writer of this.#closing.keys()) writer.abort().catch(() => undefined);
  }

  /** Sends until `stop`, or until `finish` and the end. Rejects when the session fails, or when audio to send is not kept any more. */
  async run(): Promise<void> {
    try {
      while (!this.#stopped) {
        const next = this.#options.archive
          .stretchesFrom(this.#position)
          .find(({ number }) => number >= this.#stretch);
        if (next !== undefined) await this.#send(next);
        else if (this.#finished) break;
        else await this.#sleep();
      }
      await Promise.all(this.#closing.values());
    } catch (error) {
      if (!this.#stopped) throw error;
    }
  }

  /** Sends a stretch to its end, or until the other codec is wanted. */
  async #send(stretch: ArchivedStretch): Promise<void> {
    const stream = await this.#options.openStream();
    const writer = stream.getWriter();
    // Failures are seen at the writes; these promises would only be reported a second time as unhandled.
    writer.closed.catch(() => undefined);
    this.#writer = writer;
    if (this.#stopped) return void writer.abort().catch(() => undefined);
    const opus = this.#options.opus?.();
    if (opus === undefined) await this.#sendPcm(stretch, writer);
    else await this.#sendOpus(stretch, writer, opus);
    if (this.#stopped) return;
    const { ended } = this.#options.archive.read(stretch.number, this.#position, 1);
    this.#stretch = ended ? stretch.number + 1 : stretch.number;
    this.#leftOpus = opus !== undefined && !ended;
    this.#writer = undefined;
    // Chromium fulfils `close` once the peer has acknowledged the FIN; the next stretch need not wait for that.
    const closing = writer.close().finally(() => this.#closing.delete(writer));
    closing.catch(() => undefined);
    this.#closing.set(writer, closing);
  }

  #header(stretch: ArchivedStretch, codec: Partial<MicrophoneHeader>): Uint8Array {
    const { rewind, orderedEvents, resend } = this.#options;
    const ordered = orderedEvents(stretch.orderedEvents);
    return encodeHeader({
      type: 'parley.microphone',
      stretch: this.#streams++,
      firstSample: this.#position,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
      startMs: stretch.startMs,
      ...(rewind > 0 && { rewind }),
      ...(resend !== undefined && { resend }),
      ...(ordered > 0 && { orderedEvents: ordered }),
      ...codec,
    });
  }

  async #sendPcm(stretch: ArchivedStretch, writer: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
    const { archive, opus, sent } = this.#options;
    // Behind Opus the sample before comes once more, as it was.
    let runIn = this.#leftOpus && archive.firstSample < this.#position ? 1 : 0;
    await writer.write(this.#header(stretch, runIn > 0 ? { runIn } : {}));
    while (!this.#stopped) {
      if (archive.firstSample > this.#position) throw forgotten();
      const octets = take(archive, stretch.number, this.#position - runIn, this.#options.pcmBound?.());
      if (octets !== undefined) {
        await writer.write(octets);
        this.#position += octets.length / OCTETS_PER_SAMPLE - runIn;
        runIn = 0;
        sent();
      } else if (archive.read(stretch.number, this.#position, 1).ended) break;
      else if (opus?.() !== undefined) break;
      else await this.#sleep();
    }
  }

  async #sendOpus(
    stretch: ArchivedStretch,
    writer: WritableStreamDefaultWriter<Uint8Array>,
    opus: OpusModule,
  ): Promise<void> {
    const { archive, sent } = this.#options;
    const from = this.#position;
    const runIn = opus.runInOf(archive, stretch.number, from);
    const lookAhead = opus.LOOK_AHEAD_SAMPLES;
    await writer.write(this.#header(stretch, { codec: OPUS_CODEC, lookAhead, ...(runIn > 0 && { runIn }) }));
    const worked = await opus.sendOpus({
      archive,
      stretch: stretch.number,
      from,
      runIn,
      write: (octets) => writer.write(octets),
      sent: (position) => {
        this.#position = position;
        sent();
      },
      more: async () => {
        if (archive.firstSample > this.#position) throw forgotten();
        await this.#sleep();
      },
      wanted: () => this.#options.opus?.() !== undefined,
      stopped: () => this.#stopped,
    });
    if (!worked) this.#options.opusFailed?.();
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** A copy of the audio at `sample`, up to `MAX_WRITE_OCTETS`, so that a backlog goes out in few writes. */
function take(
  archive: MicrophoneArchive,
  stretch: number,
  sample: number,
  bound = Number.POSITIVE_INFINITY,
): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  const most = Math.min(MAX_WRITE_OCTETS, (bound - sample) * OCTETS_PER_SAMPLE);
  let length = 0;
  while (length < most) {
    const at = sample + length / OCTETS_PER_SAMPLE;
    const { octets } = archive.read(stretch, at, most - length);
    if (octets.length === 0) break;
    parts.push(octets);
    length += octets.length;
  }
  if (length === 0) return undefined;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function forgotten(): CallError {
  return new CallError(
    'queue_full',
    'The network took your words too slowly for two minutes, and the oldest of them are gone.',
    'Check the network, then call again.',
  );
}
