import type { MicrophoneArchive } from '../../proto/voice/index.ts';
import {
  encodeOpusPackets,
  encodeOpusTotal,
  OPUS_PACKET_SAMPLES,
  RUN_IN_SAMPLES,
} from '../../proto/voice/opus-framing.ts';
import { LOOK_AHEAD_SAMPLES, OpusEncoder } from './encoder.ts';

const OCTETS_PER_SAMPLE = Int16Array.BYTES_PER_ELEMENT;
/** Frames that are with the encoder at once: a second of a backlog. */
const MAX_FRAMES = 50;
/** Packets in one write: the upstream is given 40 ms at a time anyway, and a QUIC packet costs as much as the audio in it. */
const PACKETS_PER_WRITE = 2;

/** One stream to send as Opus. */
export interface OpusTask {
  readonly archive: MicrophoneArchive;
  /** The archive's number of the stretch. */
  readonly stretch: number;
  readonly from: number;
  /** Samples before `from` that the stream begins with (`runInOf`). */
  readonly runIn: number;
  write(octets: Uint8Array): Promise<void>;
  /** Audio before this sample was given to the transport. */
  sent(position: number): void;
  /** Fulfils when there may be more to send, or another thing to do. */
  more(): Promise<void>;
  /** Whether Opus is still wanted. */
  wanted(): boolean;
  stopped(): boolean;
}

/**
 * Encodes a stretch from the archive, a backlog faster than it was said, and writes the packets behind the stream's header, until the
 * stretch ends or Opus is not wanted any more. The last word of the stream is how many samples it has; what follows goes on there.
 * False when the browser's encoder failed.
 */
export async function sendOpus(task: OpusTask): Promise<boolean> {
  const sender = new Sender(task);
  try {
    await sender.run();
    return true;
  } catch (error) {
    if (task.stopped() || !sender.encoderFailed) throw error;
    await sender.breakOff();
    return false;
  } finally {
    sender.close();
  }
}

/** Samples before `from` that are kept of the stretch, at most as many as an encoder needs to run in. */
export function runInOf(archive: MicrophoneArchive, stretch: number, from: number): number {
  const { octets } = archive.read(stretch, from - RUN_IN_SAMPLES, OCTETS_PER_SAMPLE);
  return octets.length > 0 ? RUN_IN_SAMPLES : 0;
}

class Sender {
  readonly #task: OpusTask;
  readonly #encoder = new OpusEncoder();
  /** Frames given to the encoder, packets that came of it, and packets written. */
  #fed = 0;
  #ready: Uint8Array[] = [];
  #written = 0;
  encoderFailed = false;

  constructor(task: OpusTask) {
    this.#task = task;
  }

  async run(): Promise<void> {
    const { task } = this;
    while (!task.stopped()) {
      const wanted = task.wanted();
      const moved = wanted && this.#feed();
      this.#collect();
      if (this.#ready.length >= PACKETS_PER_WRITE) await this.#write(this.#ready.splice(0));
      else if (moved) continue;
      else if (this.#encoder.waiting > 0) await this.#encoder.output();
      else if (!wanted) return this.#leave();
      else if (this.#ended) return this.#finish();
      else await task.more();
    }
  }

  /** The encoder failed: the stream ends behind what was written. */
  async breakOff(): Promise<void> {
    await this.#end(this.#samplesOf(this.#written));
  }

  close(): void {
    this.#encoder.close();
  }

  get task(): OpusTask {
    return this.#task;
  }

  get #next(): number {
    return this.#task.from - this.#task.runIn + this.#fed * OPUS_PACKET_SAMPLES;
  }

  /** Samples at the front of the encoder's output that are none of the stream's. */
  get #ahead(): number {
    return this.#task.runIn + LOOK_AHEAD_SAMPLES;
  }

  /** Samples of the stream that its first `packets` packets bring. */
  #samplesOf(packets: number): number {
    return Math.max(0, packets * OPUS_PACKET_SAMPLES - this.#ahead);
  }

  /** Whether less than a frame is left of a stretch that is over. */
  get #ended(): boolean {
    const { archive, stretch } = this.#task;
    return archive.read(stretch, this.#next + this.#rest().length, OCTETS_PER_SAMPLE).ended;
  }

  #feed(): boolean {
    let moved = false;
    while (this.#encoder.waiting < MAX_FRAMES) {
      const frame = this.#rest();
      if (frame.length < OPUS_PACKET_SAMPLES) break;
      this.#encode(frame);
      moved = true;
    }
    return moved;
  }

  #encode(frame: Int16Array<ArrayBuffer>): void {
    this.#guard(() => this.#encoder.encode(frame));
    this.#fed += 1;
  }

  #collect(): void {
    this.#guard(() => this.#ready.push(...this.#encoder.take()));
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.encoderFailed = true;
      throw error;
    }
  }

  /** At most a frame of what comes next, in memory of its own. */
  #rest(): Int16Array<ArrayBuffer> {
    const { archive, stretch } = this.#task;
    const octets = new Uint8Array(OPUS_PACKET_SAMPLES * OCTETS_PER_SAMPLE);
    let length = 0;
    while (length < octets.length) {
      const at = this.#next + length / OCTETS_PER_SAMPLE;
      const { octets: some } = archive.read(stretch, at, octets.length - length);
      if (some.length === 0) break;
      octets.set(some, length);
      length += some.length;
    }
    return new Int16Array(octets.buffer, 0, length / OCTETS_PER_SAMPLE);
  }

  async #write(packets: readonly Uint8Array[]): Promise<void> {
    await this.#task.write(encodeOpusPackets(packets));
    this.#written += packets.length;
    this.#task.sent(this.#task.from + this.#samplesOf(this.#written));
  }

  /** The stretch is over: silence is encoded behind it until its last sample has come out. */
  async #finish(): Promise<void> {
    const rest = this.#rest();
    const total = this.#next - this.#task.from + rest.length;
    const packets = total === 0 ? 0 : Math.ceil((total + this.#ahead) / OPUS_PACKET_SAMPLES);
    for (let last = rest; this.#fed < packets; last = new Int16Array(0)) {
      const frame = new Int16Array(OPUS_PACKET_SAMPLES);
      frame.set(last);
      this.#encode(frame);
    }
    await this.#flush();
    const whole = Math.floor((total + this.#ahead) / OPUS_PACKET_SAMPLES) - this.#written;
    const [within, beyond] = [this.#ready.slice(0, whole), this.#ready.slice(whole)];
    if (within.length > 0) await this.#write(within);
    await this.#end(total, beyond);
  }

  /** PCM goes on behind what the packets so far bring. */
  async #leave(): Promise<void> {
    await this.#flush();
    if (this.#ready.length > 0) await this.#write(this.#ready.splice(0));
    await this.#end(this.#samplesOf(this.#written));
  }

  async #flush(): Promise<void> {
    try {
      await this.#encoder.flush();
    } catch (error) {
      this.encoderFailed = true;
      throw error;
    }
    this.#collect();
  }

  async #end(total: number, beyond: readonly Uint8Array[] = []): Promise<void> {
    await this.#task.write(encodeOpusTotal(total));
    if (beyond.length > 0) await this.#task.write(encodeOpusPackets(beyond));
    this.#task.sent(this.#task.from + total);
  }
}
