import { beforeAll, describe, expect, test, vi } from 'vitest';
import { AnswerChoice } from '../../../browser/answer-choice.ts';
import { readAnswers } from '../../../browser/answer-reader.ts';
import { DownlinkCodec } from '../../../browser/downlink-codec.ts';
import { loadLateParts } from '../../../browser/late-parts.ts';
import { loadOpusDecoder, takesOpus } from '../../../browser/opus-module.ts';
import { Playback } from '../../../browser/playback.ts';
import {
  type AnswerHeader,
  AudioHash,
  type DownlinkMessage,
  encodeHeader,
  encodeOpusPackets,
  encodeOpusTotal,
  int16ToOctets,
  OPUS_PACKET_SAMPLES,
  octetsToInt16,
  PageCall,
  type ReadyMessage,
  StreamCode,
  type VoiceProtocolError,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { createOpusEncoder } from '../../../server/bridge/opus.ts';
import { installAudioDecoder } from '../../support/fake-audio-decoder.ts';
import { until } from '../../support/realtime.ts';
import { Comparison } from '../../support/spoken-words.ts';

let decoders: { readonly opened: number };

test('a browser without WebCodecs offers no Opus', () => {
  vi.stubGlobal('AudioDecoder', undefined);
  expect(takesOpus()).toBe(false);
  expect(new DownlinkCodec({ codec: 'opus' }, {} as Playback, () => {}).hello).toEqual({});
  vi.unstubAllGlobals();
});

beforeAll(async () => {
  decoders = await installAudioDecoder(200);
  // A call loads them before its first answer.
  await loadLateParts();
});

/** Loud speech of its own kind. */
function speech(length: number): Int16Array {
  return Int16Array.from({ length }, (_, i) => {
    const t = i / 24_000;
    const voice = Math.sin(2 * Math.PI * (170 * t + 8 * Math.sin(2 * t)));
    const hiss = 0.2 * (((i * 48_271) % 65_521) / 65_521 - 0.5);
    return 11_000 * (voice + hiss) * (0.7 + 0.3 * Math.sin(11 * t));
  });
}

/** Packets of these samples and of silence behind them. */
async function packetsOf(samples: Int16Array): Promise<Uint8Array[]> {
  const encoder = await createOpusEncoder();
  const packets: Uint8Array[] = [];
  const frame = new Int16Array(OPUS_PACKET_SAMPLES);
  for (let at = 0; at < samples.length + 60; at += OPUS_PACKET_SAMPLES) {
    frame.fill(0);
    frame.set(samples.subarray(at, at + OPUS_PACKET_SAMPLES));
    packets.push(encoder.encode(frame).slice());
  }
  encoder.free();
  return packets;
}

const streamOf = (packets: readonly Uint8Array[], total: number) =>
  concat([
    encodeOpusPackets(packets.slice(0, -1)),
    encodeOpusTotal(total),
    encodeOpusPackets(packets.slice(-1)),
  ]);

const header = (more: Partial<AnswerHeader> = {}): AnswerHeader => ({
  type: 'parley.answer',
  responseId: 'resp_1',
  itemId: 'item_1',
  contentIndex: 0,
  outputIndex: 0,
  answer: 0,
  firstSample: 0,
  codec: 'opus',
  lookAhead: 60,
  rate: 24_000,
  ...more,
});

/** A page that hears the answers of one session. */
class Ear {
  readonly call = new PageCall();
  readonly playback = new Playback({ progress() {}, finished() {}, level() {}, replaced() {} });
  readonly told: DownlinkMessage[] = [];
  readonly downlink = new DownlinkCodec(
    { codec: 'opus' },
    this.playback,
    (message) => void this.told.push(message),
  );
  readonly faults: VoiceProtocolError[] = [];
  readonly pcm: Uint8Array[] = [];
  #streams!: ReadableStreamDefaultController<ReadableStream<Uint8Array>>;

  constructor() {
    const push = this.playback.push.bind(this.playback);
    this.playback.push = (record, octets) => {
      this.pcm.push(octets.slice());
      push(record, octets);
    };
    this.downlink.ready({ answerCodecs: ['pcm16', 'opus'] } as ReadyMessage);
    const streams = new ReadableStream<ReadableStream<Uint8Array>>({
      start: (controller) => {
        this.#streams = controller;
      },
    });
    void readAnswers(streams, this.playback, {
      heard() {},
      mayTake: async () => true,
      begins: (answer) => this.call.answerBegins(answer),
      received: (answer, samples) => this.call.answerReceived(answer, samples),
      ended: (answer) => this.call.answerEnded(answer),
      wasReset: async (error) =>
        (error as { streamErrorCode?: number }).streamErrorCode !== StreamCode.SESSION_CLOSED,
      failed: (error) => void this.faults.push(error),
      opus: this.downlink,
    });
  }

  /** A stream of the backend. */
  stream(head: AnswerHeader) {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    const state = { cancelled: false };
    this.#streams.enqueue(
      new ReadableStream<Uint8Array>({
        start: (given) => {
          controller = given;
        },
        cancel: () => {
          state.cancelled = true;
        },
      }),
    );
    controller.enqueue(encodeHeader(head));
    return {
      get cancelled() {
        return state.cancelled;
      },
      send: (octets: Uint8Array) => controller.enqueue(octets),
      end: () => controller.close(),
      reset: (code: StreamCode) =>
        controller.error(Object.assign(new Error('reset'), { streamErrorCode: code })),
    };
  }

  get heard(): Int16Array {
    return octetsToInt16(concat(this.pcm));
  }

  get samples(): number {
    return this.heard.length;
  }

  get counters() {
    return this.playback.counters[0]!;
  }

  over(): Promise<void> {
    return until(() => this.playback.counters[0]?.complete === true || this.faults.length > 0, 'the answer');
  }
}

describe('answers as Opus in the page', () => {
  test("the browser's decoder is tried: where its samples lie is known", async () => {
    expect(await loadOpusDecoder()).toBeDefined();
  });

  test.each([1, 420, 421, 4800, 24_017])(
    '%i samples, cut anywhere: exactly as many are heard',
    async (length) => {
      const said = speech(length);
      const ear = new Ear();
      const stream = ear.stream(header());
      const octets = streamOf(await packetsOf(said), length);
      for (let at = 0; at < octets.length; at += 37) stream.send(octets.slice(at, at + 37));
      stream.end();
      await ear.over();
      expect(ear.faults).toEqual([]);
      expect(ear.samples).toBe(length);
      expect(ear.counters.receivedSamples).toBe(length);
      expect(ear.counters.receivedHash).toBe(new AudioHash().update(concat(ear.pcm)).digest());
      expect(ear.call.report()?.answers).toEqual([{ answer: 0, samples: length, ended: true }]);
      expect(ear.downlink.downlink).toEqual({ codec: 'opus', badPackets: 0 });
      if (length > 4000) expect(new Comparison(said, ear.heard, []).correlation).toBeGreaterThan(0.97);
    },
  );

  test('PCM goes on as Opus where it broke off, without a click, and PCM again', async () => {
    const said = speech(48_000);
    // At the last three, one to three samples of a packet of Opus came before the seam, and those before in other packets.
    for (const came of [9600, 9601, 11_111, 12_345, 11_221, 11_702, 13_143]) {
      const ear = new Ear();
      const first = ear.stream(header({ codec: 'pcm16' }));
      first.send(int16ToOctets(said.slice(0, came)));
      await until(() => ear.samples === came, 'PCM');
      const from = 9600 - 240;
      const second = ear.stream(header({ firstSample: from, carriage: 1 }));
      second.send(encodeOpusPackets((await packetsOf(said.subarray(from, 30_000))).slice(0, -1)));
      first.reset(StreamCode.SESSION_CLOSED);
      const whole = from + Math.floor((30_000 - from) / 480) * 480 - 60;
      await until(() => ear.samples >= whole, 'Opus');
      const third = ear.stream(header({ firstSample: 24_000, carriage: 2, codec: 'pcm16' }));
      third.send(int16ToOctets(said.slice(24_000)));
      second.reset(StreamCode.SESSION_CLOSED);
      third.end();
      await ear.over();
      const compared = new Comparison(said, ear.heard, []);
      expect(ear.samples).toBe(48_000);
      expect(compared.shift).toBe(0);
      expect(compared.clickDb(came)).toBeLessThan(-40);
      expect(compared.clickDb(whole)).toBeLessThan(-40);
      expect(compared.longestGapMs).toBe(0);
      expect(ear.counters.complete).toBe(true);
    }
  });

  test('a stream that another one has overtaken is not read, and what it brought late is left out', async () => {
    const said = speech(9600);
    const ear = new Ear();
    const opus = ear.stream(header({ carriage: 1 }));
    opus.send(streamOf(await packetsOf(said), 9600));
    await until(() => ear.samples > 4000, 'Opus');
    const old = ear.stream(header({ codec: 'pcm16' }));
    old.send(int16ToOctets(said.slice(0, 4800)));
    await until(() => old.cancelled, 'the old stream to be cancelled');
    opus.end();
    await ear.over();
    expect(ear.samples).toBe(9600);
  });

  test('a reset by a cut ends it where it was; what came is kept', async () => {
    const ear = new Ear();
    const stream = ear.stream(header());
    stream.send(encodeOpusPackets((await packetsOf(speech(9600))).slice(0, 10)));
    await until(() => ear.samples === 4740, 'some of it');
    stream.reset(StreamCode.BARGE_IN);
    await until(() => ear.call.report()?.answers[0]?.ended === true, 'the end');
    expect(ear.counters.complete).toBe(false);
    expect(ear.counters.receivedSamples).toBe(4740);
  });
});

describe('answers that are no Opus', () => {
  const toc = (config: number, more = 0) => (config << 3) | more;
  const spoilt: readonly [string, (good: Uint8Array) => Uint8Array][] = [
    ['stereo', (good) => Uint8Array.of(good[0]! | 0b100, ...good.subarray(1))],
    ['of 10 ms', (good) => Uint8Array.of(toc(26), ...good.subarray(1))],
    ['of 60 ms', (good) => Uint8Array.of(toc(3), ...good.subarray(1))],
    ['of two frames', (good) => Uint8Array.of(good[0]! | 1, ...good.subarray(1))],
    ['as long as none', () => new Uint8Array(1276).fill(0xff)],
  ];

  /** An answer of 9600 samples in these packets: every one has its 20 ms. */
  async function heardWhole(packets: readonly Uint8Array[]): Promise<Ear> {
    const ear = new Ear();
    const stream = ear.stream(header());
    stream.send(streamOf(packets, 9600));
    stream.end();
    await ear.over();
    expect(ear.faults).toEqual([]);
    expect(ear.samples).toBe(9600);
    return ear;
  }

  test.each(spoilt)('packets %s are counted, and are silence in their place', async (_, spoil) => {
    const said = speech(9600);
    const packets = await packetsOf(said);
    packets[5] = spoil(packets[5]!);
    const ear = await heardWhole(packets);
    expect(ear.downlink.downlink.badPackets).toBe(1);
    expect(new Comparison(said.subarray(4800), ear.heard.subarray(4800), []).correlation).toBeGreaterThan(
      0.9,
    );
  });

  test('packets that are cut: every one has its 20 ms, whatever the decoder makes of it', async () => {
    const packets = (await packetsOf(speech(9600))).map((packet, i) =>
      packet.subarray(0, 2 + ((i * 7) % packet.length)),
    );
    await heardWhole(packets);
  });

  test('many of them: the page asks for PCM, few decoders were made, and the answer goes on', async () => {
    const before = decoders.opened;
    const ear = new Ear();
    const stream = ear.stream(header());
    const bad = new Uint8Array(3).fill(0xff);
    for (let n = 0; n < 100; n++) stream.send(encodeOpusPackets(Array.from({ length: 1000 }, () => bad)));
    await until(() => ear.told.length > 0 && stream.cancelled, 'a word of the page');
    expect(ear.told[0]).toEqual({ type: 'parley.downlink', codec: 'pcm16', bufferedMs: expect.any(Number) });
    expect(decoders.opened - before).toBeLessThan(30);
    expect(ear.faults).toEqual([]);
    const came = ear.samples;
    const said = speech(came + 4800);
    const next = ear.stream(header({ codec: 'pcm16', carriage: 1, firstSample: 0 }));
    next.send(int16ToOctets(said));
    next.end();
    await ear.over();
    expect(ear.samples).toBe(said.length);
    expect(ear.downlink.hello).toEqual({});
  });

  const broken: readonly [string, Uint8Array, boolean][] = [
    ['a million octets of 1', new Uint8Array(1_000_000).fill(1), false],
    ['a packet that is too long', Uint8Array.of(0x7f, 0xff, 1, 2, 3), false],
    ['an end in the middle of a packet', Uint8Array.of(40, 1, 2, 3), true],
    ['an end without a total', new Uint8Array(0), true],
    ['fewer samples than it says', encodeOpusTotal(960), true],
    ['two totals', concat([encodeOpusTotal(0), encodeOpusTotal(0)]), true],
  ];

  test.each(broken)('%s: the stream is malformed, in words', async (_, octets, ends) => {
    const ear = new Ear();
    const stream = ear.stream(header());
    if (octets.length > 0) stream.send(octets);
    if (ends) stream.end();
    await until(() => ear.faults.length > 0, 'a word of the fault');
    expect(ear.faults[0]?.message).toMatch(/^an answer stream /);
  });
});

describe('what the page asks for', () => {
  /** Feeds `bufferedMs` of an answer that began long ago, each 250 ms. */
  function run(choice: AnswerChoice, bufferedMs: number, from: number, ms: number): string[] {
    const told: string[] = [];
    for (let now = from; now < from + ms; now += 250)
      if (choice.update({ ageMs: 5000, bufferedMs }, now)) told.push(choice.wanted);
    return told;
  }

  test('Opus when little of an answer is there, again each second, and PCM after the calm', () => {
    const choice = new AnswerChoice(30_000);
    expect(choice.update({ ageMs: 200, bufferedMs: 0 }, 0)).toBe(false);
    expect(run(choice, 2000, 0, 10_000)).toEqual([]);
    expect(run(choice, 100, 10_000, 3000)).toEqual(['opus', 'opus', 'opus']);
    expect(run(choice, 2000, 13_000, 29_000)).toEqual([]);
    expect(run(choice, 2000, 42_000, 2000)).toEqual(['pcm16']);
    // It was in vain: the next time it takes twice as long.
    expect(run(choice, 100, 44_000, 1000)).toEqual(['opus']);
    expect(run(choice, 2000, 45_000, 58_000)).toEqual([]);
    expect(run(choice, 2000, 103_000, 4000)).toEqual(['pcm16']);
  });

  test('nothing of a backend that sends no Opus', () => {
    const told: DownlinkMessage[] = [];
    const playback = { flowingSince: 0, bufferedMs: 0 } as Playback;
    const downlink = new DownlinkCodec({ codec: 'auto' }, playback, (message) => void told.push(message));
    downlink.ready({} as ReadyMessage);
    downlink.tick(10_000);
    expect(told).toEqual([]);
    downlink.ready({ answerCodecs: ['pcm16', 'opus'] } as ReadyMessage);
    downlink.tick(10_000);
    expect(told).toEqual([{ type: 'parley.downlink', codec: 'opus', bufferedMs: 0 }]);
    // Another backend is told too.
    downlink.ready({ answerCodecs: ['pcm16', 'opus'] } as ReadyMessage);
    expect(told.length).toBe(2);
  });
});
