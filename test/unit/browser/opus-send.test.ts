import { ReadableStream } from 'node:stream/web';
import { beforeAll, describe, expect, test } from 'vitest';
import { MicrophoneAudio } from '../../../browser/microphone-audio.ts';
import { MicrophoneUplink } from '../../../browser/microphone-uplink.ts';
import { loadOpus, type OpusModule } from '../../../browser/opus-module.ts';
import { MicrophoneArchive, type MicrophoneCodec, octetsToInt16 } from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { Microphone } from '../../../server/bridge/microphone.ts';
import { StreamError } from '../../../server/webtransport/types.ts';
import { installAudioEncoder } from '../../support/fake-audio-encoder.ts';
import { until } from '../../support/realtime.ts';
import { Comparison } from '../../support/spoken-words.ts';

let opus: OpusModule;
let encoders: { failAfter(frames: number): void };

beforeAll(async () => {
  encoders = await installAudioEncoder(40);
  opus = (await loadOpus())!;
  expect(opus).toBeDefined();
});

/** Speech, loud and low, as an `Int16Array` of its own memory. */
function speech(length: number, from: number): Int16Array {
  return Int16Array.from({ length }, (_, i) => {
    const t = (from + i) / 24_000;
    return 9000 * Math.sin(2 * Math.PI * (170 * t + 8 * Math.sin(2 * t))) * (0.7 + 0.3 * Math.sin(11 * t));
  });
}

/** A page's microphone and the bridge that hears it, joined by streams that may be held up. */
class Line {
  readonly archive = new MicrophoneArchive();
  readonly audio = new MicrophoneAudio(this.archive, () => this.uplink?.wake());
  readonly said: Int16Array[] = [];
  readonly heard: Uint8Array[] = [];
  readonly codecs: MicrophoneCodec[] = [];
  codec: MicrophoneCodec = 'pcm16';
  failures = 0;
  uplink: MicrophoneUplink | undefined;
  done: Promise<void> | undefined;
  readonly faults: unknown[] = [];
  readonly bridge = new Microphone({
    ready: () => undefined,
    append: (pcm) => void this.heard.push(pcm.slice()),
    event: () => {},
    received: () => {},
    switched: (codec) => void this.codecs.push(codec),
  });
  #resends = 0;
  /** Nothing of what is written arrives while it is true. */
  held = false;

  constructor() {
    this.bridge.pageResends = true;
  }

  get samples(): number {
    return this.audio.samples;
  }

  send(from = 0): void {
    this.uplink?.abort();
    this.uplink = new MicrophoneUplink({
      archive: this.archive,
      from,
      rewind: 0,
      ...(this.#resends > 0 && { resend: { number: this.#resends, from } }),
      orderedEvents: () => 0,
      sent: () => {},
      opus: () => (this.codec === 'opus' ? opus : undefined),
      opusFailed: () => {
        this.failures += 1;
        this.codec = 'pcm16';
      },
      openStream: async () => this.#stream(),
    });
    this.done = this.uplink.run();
    this.done.catch((error) => this.faults.push(error));
  }

  resend(from: number): void {
    this.#resends += 1;
    this.send(from);
  }

  async say(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 20) {
      const samples = speech(480, this.samples);
      this.said.push(samples.slice());
      this.audio.push(samples);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** All that was said was heard. */
  arrived(): Promise<void> {
    return until(() => this.bridge.samples >= this.samples, 'all that was said', 8000);
  }

  get compared(): Comparison {
    const said = Int16Array.from(this.said.flatMap((chunk) => [...chunk]));
    return new Comparison(said, octetsToInt16(concat(this.heard)), []);
  }

  #stream(): WritableStream<Uint8Array> {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const readable = new ReadableStream<Uint8Array>({
      start: (given) => {
        controller = given as unknown as ReadableStreamDefaultController<Uint8Array>;
      },
    });
    this.bridge.accept(readable, () => false).catch((error) => this.faults.push(error));
    const held: Uint8Array[] = [];
    return new WritableStream({
      write: (chunk) => {
        held.push(chunk.slice());
        if (!this.held) for (const octets of held.splice(0)) controller.enqueue(octets);
      },
      close: async () => {
        await until(() => !this.held, 'the link', 8000);
        for (const octets of held.splice(0)) controller.enqueue(octets);
        controller.close();
      },
      abort: () => controller.error(new StreamError(0, 'given up')),
    });
  }
}

function expectEverySample(line: Line): void {
  const { compared } = line;
  expect(line.faults).toEqual([]);
  expect(compared.heard.length).toBe(compared.said.length);
  expect(compared.shift).toBe(0);
  expect(compared.longestGapMs).toBe(0);
  for (const seam of compared.seams) expect(compared.clickDb(seam)).toBeLessThan(-40);
}

describe('a microphone that changes its codec', () => {
  test('PCM, Opus, PCM, Opus in one stretch: every sample once, no click', async () => {
    const line = new Line();
    line.audio.begin(0);
    line.send();
    for (const codec of ['pcm16', 'opus', 'pcm16', 'opus'] as const) {
      line.codec = codec;
      line.uplink?.wake();
      await line.say(500);
    }
    line.audio.end();
    await line.arrived();
    expectEverySample(line);
    expect(line.codecs).toEqual(['opus', 'pcm16', 'opus']);
    expect(line.compared.seams.length).toBe(3);
  });

  test('what waits is given up and sent again as Opus, from what was acknowledged', async () => {
    const line = new Line();
    line.audio.begin(0);
    line.send();
    await line.say(400);
    await until(() => line.bridge.samples > 8000, 'the first words', 8000);
    line.held = true;
    const acknowledged = line.bridge.receivedSamples - 960;
    await line.say(2000);
    line.codec = 'opus';
    line.held = false;
    line.resend(acknowledged);
    await line.say(300);
    line.audio.end();
    await line.arrived();
    expectEverySample(line);
    expect(line.codecs).toEqual(['opus']);
  });

  test('stretches of any length in Opus, one after another', async () => {
    const line = new Line();
    line.codec = 'opus';
    line.send();
    for (const samples of [1, 100, 419, 420, 421, 480, 4801]) {
      line.audio.begin(0);
      const chunk = speech(samples, line.samples);
      line.said.push(chunk.slice());
      line.audio.push(chunk);
      line.audio.end();
    }
    line.uplink?.finish();
    await line.arrived();
    await line.done;
    expect(line.faults).toEqual([]);
    expect(line.compared.heard.length).toBe(line.samples);
  });

  test('an encoder that fails: the call goes on as PCM, and nothing is lost', async () => {
    const line = new Line();
    line.codec = 'opus';
    encoders.failAfter(20);
    line.audio.begin(0);
    line.send();
    await line.say(1000);
    encoders.failAfter(Number.POSITIVE_INFINITY);
    line.audio.end();
    await line.arrived();
    expectEverySample(line);
    expect(line.failures).toBe(1);
    expect(line.codecs).toEqual(['opus', 'pcm16']);
  });
});
