import { Application, createEncoder, type OpusEncoderHandle } from 'libopus-wasm';

/** `OpusHead` of a mono stream whose encoder looks 60 samples of 24 kHz ahead, as Chromium writes it. */
const HEAD = Uint8Array.from([79, 112, 117, 115, 72, 101, 97, 100, 1, 1, 60, 0, 192, 93, 0, 0, 0, 0, 0]);

interface Init {
  output(chunk: unknown, metadata: unknown): void;
  error(error: Error): void;
}

/** The part of WebCodecs that the page uses, over libopus: packets come a turn of the loop after their frames. */
class FakeAudioEncoder {
  static spare: OpusEncoderHandle[] = [];
  /** Frames after which encoders fail. */
  static failAfter = Number.POSITIVE_INFINITY;
  state = 'unconfigured';
  readonly #init: Init;
  readonly #encoder = FakeAudioEncoder.spare.pop()!;
  #work: Promise<void> = Promise.resolve();
  #frames = 0;

  static async isConfigSupported(): Promise<{ supported: boolean }> {
    return { supported: true };
  }

  constructor(init: Init) {
    this.#init = init;
  }

  configure(): void {
    this.state = 'configured';
  }

  encode({ data }: { data: Int16Array }): void {
    const frame = data.slice();
    this.#work = this.#work
      .then(() => new Promise((resolve) => setImmediate(resolve)))
      .then(() => {
        if (this.state !== 'configured') return;
        if (this.#frames >= FakeAudioEncoder.failAfter) {
          this.state = 'closed';
          this.#init.error(new Error('the encoder failed'));
          return;
        }
        const packet = this.#encoder.encode(frame);
        const first = this.#frames++ === 0;
        const chunk = { byteLength: packet.length, copyTo: (out: Uint8Array) => out.set(packet) };
        this.#init.output(chunk, first ? { decoderConfig: { description: HEAD } } : {});
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

class FakeAudioData {
  readonly data: Int16Array;

  constructor({ data }: { data: Int16Array }) {
    this.data = data;
  }

  close(): void {}
}

/** Gives this process WebCodecs' `AudioEncoder`; `encoders` may be made. */
export async function installAudioEncoder(encoders: number): Promise<{ failAfter(frames: number): void }> {
  for (let n = 0; n < encoders; n++)
    FakeAudioEncoder.spare.push(
      await createEncoder({
        sampleRate: 24_000,
        channels: 1,
        bitrate: 32_000,
        application: Application.RestrictedLowDelay,
      }),
    );
  Object.assign(globalThis, { AudioEncoder: FakeAudioEncoder, AudioData: FakeAudioData });
  return {
    failAfter: (frames) => {
      FakeAudioEncoder.failAfter = frames;
    },
  };
}
