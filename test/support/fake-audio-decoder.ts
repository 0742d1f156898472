import { createDecoder, type OpusDecoderHandle } from 'libopus-wasm';

interface Init {
  output(data: FakeAudioData): void;
  error(error: Error): void;
}

/** What a decoder gives: 48 kHz, as browsers do. */
class FakeAudioData {
  readonly sampleRate = 48_000;
  readonly numberOfChannels = 1;
  readonly #samples: Int16Array;

  constructor(samples: Int16Array) {
    this.#samples = samples;
  }

  get numberOfFrames(): number {
    return this.#samples.length;
  }

  copyTo(out: Float32Array): void {
    for (let i = 0; i < this.#samples.length; i++) out[i] = this.#samples[i]! / 32_768;
  }

  close(): void {}
}

/** The part of WebCodecs that the page uses, over libopus: samples come a turn of the loop after their packets. */
class FakeAudioDecoder {
  static spare: OpusDecoderHandle[] = [];
  static opened = 0;
  state = 'unconfigured';
  readonly #init: Init;
  readonly #decoder = FakeAudioDecoder.spare.pop()!;
  #work: Promise<void> = Promise.resolve();

  static async isConfigSupported(): Promise<{ supported: boolean }> {
    return { supported: true };
  }

  constructor(init: Init) {
    FakeAudioDecoder.opened += 1;
    this.#init = init;
  }

  configure(): void {
    this.state = 'configured';
  }

  decode({ data }: { data: Uint8Array }): void {
    const packet = data.slice();
    this.#work = this.#work
      .then(() => new Promise((resolve) => setImmediate(resolve)))
      .then(() => {
        if (this.state !== 'configured') return;
        let samples: Int16Array;
        try {
          samples = this.#decoder.decode(packet);
        } catch (error) {
          this.state = 'closed';
          this.#init.error(error as Error);
          return;
        }
        this.#init.output(new FakeAudioData(samples));
      });
  }

  async flush(): Promise<void> {
    await this.#work;
    if (this.state !== 'configured') throw new Error('closed');
  }

  close(): void {
    this.state = 'closed';
  }
}

/** Gives this process WebCodecs' `AudioDecoder`; so many may be made. `opened` counts them. */
export async function installAudioDecoder(decoders: number): Promise<{ readonly opened: number }> {
  for (let n = 0; n < decoders; n++)
    FakeAudioDecoder.spare.push(await createDecoder({ sampleRate: 48_000, channels: 1 }));
  class EncodedAudioChunk {
    readonly data: Uint8Array;
    constructor({ data }: { data: Uint8Array }) {
      this.data = data;
    }
  }
  Object.assign(globalThis, { AudioDecoder: FakeAudioDecoder, EncodedAudioChunk });
  return FakeAudioDecoder;
}
