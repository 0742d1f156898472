import { OPUS_PACKET_SAMPLES } from '../../proto/voice/opus-framing.ts';

const SAMPLE_RATE = OPUS_PACKET_SAMPLES * 50;
const CONFIG: AudioDecoderConfig = { codec: 'opus', sampleRate: SAMPLE_RATE, numberOfChannels: 1 };
const PACKET_MS = 20;
/** A packet of silence, which stands in the place of one that is none: mono, one frame of 20 ms. */
const SILENCE = Uint8Array.of(0xd8, 0xff, 0xfe);
/** Packets of one stream that may be none before it is given up. */
const MAX_FAULTS = 20;
/** Packets that are with the browser at once: a second. */
const MAX_WAITING = 50;
/**
 * A click, as libopus encodes it in the low-delay mode at 24 kHz: 1440 samples, of which the one at 500 is not 0. The lengths of its three
 * packets stand before it. Its decoder's output lags by 60.
 */
const CLICK_LENGTHS = [3, 123, 66];
const CLICK =
  '2P/+2H6Hlnm/MfM5id89gAAJJ6FgD18dZEk6qepvPJn+We1Gjd6uAUwlLg8h7vvrV52qOxG6vkQzVfm12eLJnxlqPxlqJP5ReKb0aVgSn9B0nSdqDyzscf7gxN2HGoYSXIBvKRT9KRW9Jqd/ge9QAQAD1LjxQkaAvTXV8Fe52G1ts8TzXxGP1aGA7j86m7jk3uKzKgNO6KopNriLZlXo1FQMkN9Vx25/kpOWhooi9mR2xBXYYht3OXllm0AAAAW0';
const CLICK_AT = 560;

/** What becomes of the packets. */
export interface OpusDecoderListener {
  /** The 480 samples of the next packet, in the order in which they were given; silence for one that is none. */
  frame(samples: Int16Array<ArrayBuffer>): void;
  /** A packet was none. */
  fault(): void;
}

/** The browser's decoder (WebCodecs): each packet that goes in brings 480 samples, in order, whatever it holds. Throws nothing. */
export class OpusDecoder {
  readonly #listener: OpusDecoderListener;
  /** Packets whose samples have not come. */
  #waiting: Uint8Array[] = [];
  #decoder: AudioDecoder | undefined;
  #planes = new Float32Array(2 * OPUS_PACKET_SAMPLES);
  #packets = 0;
  #faults = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(listener: OpusDecoderListener) {
    this.#listener = listener;
  }

  /** Too much of the stream was no Opus, or the browser does not decode any more. */
  get failed(): boolean {
    return this.#faults > MAX_FAULTS;
  }

  /** Takes a packet, whose memory may be used again. */
  decode(packet: Uint8Array): void {
    const own = packet.slice();
    this.#waiting.push(own);
    this.#give(own);
  }

  /** Takes silence in the place of a packet that is none. */
  skip(): void {
    this.#fault();
    this.decode(SILENCE);
  }

  /** Fulfils when it takes more. */
  async room(): Promise<void> {
    while (this.#waiting.length >= MAX_WAITING && !this.#closed && !this.failed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  /** Fulfils when all samples came. */
  async flush(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#closed && !this.failed) {
      const before = this.#decoder;
      try {
        await before?.flush();
      } catch {
        // The fault was told; another decoder goes on behind the packet.
      }
      if (before === this.#decoder && this.#waiting.length > 0) this.#lost();
    }
  }

  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#discard();
    this.#wake?.();
  }

  #give(packet: Uint8Array): void {
    if (this.#closed || this.failed) return;
    try {
      this.#decoder ??= this.#open();
      const timestamp = this.#packets++ * PACKET_MS * 1000;
      this.#decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp, data: packet }));
    } catch {
      this.#lost();
    }
  }

  #open(): AudioDecoder {
    const decoder: AudioDecoder = new AudioDecoder({
      output: (data) => {
        if (decoder === this.#decoder) this.#take(data);
        data.close();
      },
      error: () => {
        if (decoder === this.#decoder) this.#lost();
      },
    });
    decoder.configure(CONFIG);
    return decoder;
  }

  /** The oldest packet that waits broke the decoder: silence is heard in its place, and another one goes on behind it. */
  #lost(): void {
    this.#fault();
    this.#discard();
    if (this.#waiting.length > 0) this.#waiting[0] = SILENCE;
    if (this.failed) this.#wake?.();
    else for (const packet of this.#waiting.slice()) this.#give(packet);
  }

  #fault(): void {
    this.#faults += 1;
    this.#listener.fault();
  }

  #discard(): void {
    const decoder = this.#decoder;
    this.#decoder = undefined;
    if (decoder !== undefined && decoder.state !== 'closed') decoder.close();
  }

  #take(data: AudioData): void {
    if (this.#closed || this.#waiting.shift() === undefined) return;
    const { numberOfFrames } = data;
    const samples = new Int16Array(OPUS_PACKET_SAMPLES);
    const each = numberOfFrames / OPUS_PACKET_SAMPLES;
    if (!Number.isInteger(each)) this.#fault();
    else {
      if (numberOfFrames > this.#planes.length) this.#planes = new Float32Array(numberOfFrames);
      data.copyTo(this.#planes, { planeIndex: 0, format: 'f32-planar' });
      // At 48 kHz nothing lies above 12 kHz, as nothing was encoded there: every second sample is what 24 kHz would be.
      for (let i = 0; i < samples.length; i++)
        samples[i] = Math.max(-32_768, Math.min(32_767, Math.round(this.#planes[i * each]! * 32_768)));
    }
    this.#listener.frame(samples);
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** Whether the browser decodes as a call needs it: tried, for what `isConfigSupported` says is not enough to know where samples lie. */
export async function canDecodeOpus(): Promise<boolean> {
  const { supported } = await AudioDecoder.isConfigSupported(CONFIG);
  if (supported !== true) return false;
  let [count, faults, highest, highestAt] = [0, 0, 0, -1];
  const decoder = new OpusDecoder({
    frame: (samples) => {
      for (const sample of samples) {
        if (Math.abs(sample) > highest) [highest, highestAt] = [Math.abs(sample), count];
        count += 1;
      }
    },
    fault: () => {
      faults += 1;
    },
  });
  const octets = Uint8Array.from(atob(CLICK), (character) => character.charCodeAt(0));
  let at = 0;
  for (const length of CLICK_LENGTHS) {
    decoder.decode(octets.subarray(at, at + length));
    at += length;
  }
  await decoder.flush();
  decoder.close();
  return faults === 0 && count === CLICK_LENGTHS.length * OPUS_PACKET_SAMPLES && highestAt === CLICK_AT;
}
