import { OPUS_PACKET_SAMPLES } from '../../proto/voice/opus-framing.ts';

// From the file itself, not the index: what is loaded on a bad network has no schemas in it.
const PACKETS_PER_SECOND = 50;
const SAMPLE_RATE = OPUS_PACKET_SAMPLES * PACKETS_PER_SECOND;

/** Bits per second of the microphone's audio: a packet of 20 ms has 80 octets. */
const BITRATE = 32_000;
/** Look-ahead of the low-delay mode, 2.5 ms, at the rates at which browsers name it in their `OpusHead`. */
const LOOK_AHEADS: ReadonlySet<number> = new Set([60, 120]);
/** At 24 kHz. */
export const LOOK_AHEAD_SAMPLES = 60;
const PRE_SKIP_OFFSET = 10;

/** The low-delay mode keeps the wave itself, sample by sample, so that Opus and PCM can follow each other without a click. */
const CONFIG = {
  codec: 'opus',
  sampleRate: SAMPLE_RATE,
  numberOfChannels: 1,
  bitrate: BITRATE,
  opus: { application: 'lowdelay', signal: 'voice', frameDuration: 20_000, complexity: 5 },
} as AudioEncoderConfig;

/** Whether the browser encodes as a call needs it: tried, for what `isConfigSupported` says is not enough to know where samples lie. */
export async function canEncodeOpus(): Promise<boolean> {
  const { supported } = await AudioEncoder.isConfigSupported(CONFIG);
  if (supported !== true) return false;
  const encoder = new OpusEncoder();
  encoder.encode(new Int16Array(OPUS_PACKET_SAMPLES));
  await encoder.flush();
  encoder.close();
  return encoder.preSkip !== undefined && LOOK_AHEADS.has(encoder.preSkip);
}

/** The browser's encoder (WebCodecs): frames of 480 samples go in, packets come out in the same order. */
export class OpusEncoder {
  readonly #encoder: AudioEncoder;
  #packets: Uint8Array[] = [];
  #frames = 0;
  #given = 0;
  #wake: (() => void) | undefined;
  #failure: unknown;
  #preSkip: number | undefined;

  constructor() {
    this.#encoder = new AudioEncoder({
      output: (chunk, metadata) => this.#take(chunk, metadata),
      error: (error) => {
        this.#failure = error;
        this.#wake?.();
      },
    });
    this.#encoder.configure(CONFIG);
  }

  /** What the browser says of its look-ahead, once a packet came. */
  get preSkip(): number | undefined {
    return this.#preSkip;
  }

  /** Frames whose packets were not taken. */
  get waiting(): number {
    return this.#frames - this.#given;
  }

  encode(frame: Int16Array<ArrayBuffer>): void {
    const data = new AudioData({
      format: 's16',
      sampleRate: SAMPLE_RATE,
      numberOfFrames: OPUS_PACKET_SAMPLES,
      numberOfChannels: 1,
      timestamp: Math.round((this.#frames * OPUS_PACKET_SAMPLES * 1e6) / SAMPLE_RATE),
      data: frame,
    });
    this.#frames += 1;
    this.#encoder.encode(data);
    data.close();
  }

  /** The packets that are there. Throws when the encoder failed. */
  take(): Uint8Array[] {
    if (this.#failure !== undefined) throw this.#failure;
    // A flush may bring one more, of what lies behind the last frame.
    const packets = this.#packets.splice(0).slice(0, this.waiting);
    this.#given += packets.length;
    return packets;
  }

  /** Fulfils when a packet came, or the encoder failed. */
  async output(): Promise<void> {
    if (this.#packets.length > 0 || this.#failure !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Fulfils when all packets came. Rejects when the encoder failed. */
  flush(): Promise<void> {
    return this.#encoder.flush();
  }

  close(): void {
    if (this.#encoder.state !== 'closed') this.#encoder.close();
    this.#wake?.();
  }

  #take(chunk: EncodedAudioChunk, metadata: EncodedAudioChunkMetadata | undefined): void {
    const packet = new Uint8Array(chunk.byteLength);
    chunk.copyTo(packet);
    this.#packets.push(packet);
    const head = metadata?.decoderConfig?.description;
    if (head !== undefined) this.#preSkip ??= preSkipOf(head);
    this.#wake?.();
    this.#wake = undefined;
  }
}

function preSkipOf(head: AllowSharedBufferSource): number | undefined {
  const view = ArrayBuffer.isView(head)
    ? new DataView(head.buffer, head.byteOffset, head.byteLength)
    : new DataView(head);
  return view.byteLength < PRE_SKIP_OFFSET + 2 ? undefined : view.getUint16(PRE_SKIP_OFFSET, true);
}
