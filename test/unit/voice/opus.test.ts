import { Application, createEncoder, type OpusEncoderHandle } from 'libopus-wasm';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  encodeHeader,
  encodeOpusPackets,
  encodeOpusTotal,
  int16ToOctets,
  MAX_OPUS_PACKET_OCTETS,
  type MicrophoneHeader,
  MicrophoneMachine,
  OPUS_PACKET_SAMPLES,
  type OpusDecoding,
  OpusReader,
  OpusStretch,
  octetsToInt16,
  opusPacketFault,
  SAMPLE_RATE,
  SessionCloseCode,
  VoiceProtocolError,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { createOpusDecoder } from '../../../server/bridge/opus.ts';

/** What Chromium's encoder looks ahead in its low-delay mode, in samples at 24 kHz. */
const LOOK_AHEAD = 60;

function speech(length: number, from = 0): Int16Array {
  return Int16Array.from({ length }, (_, i) => {
    const t = (from + i) / SAMPLE_RATE;
    return 9000 * Math.sin(2 * Math.PI * (180 * t + 8 * Math.sin(3 * t))) * (0.6 + 0.4 * Math.sin(9 * t));
  });
}

async function encoder(more: Parameters<typeof createEncoder>[0] = {}): Promise<OpusEncoderHandle> {
  return createEncoder({
    sampleRate: SAMPLE_RATE,
    channels: 1,
    bitrate: 32_000,
    application: Application.RestrictedLowDelay,
    ...more,
  });
}

/** The packets of `samples`, and of silence behind them, until the last sample has come out of a decoder. */
function encode(handle: OpusEncoderHandle, samples: Int16Array, lookAhead = LOOK_AHEAD): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let at = 0; at < samples.length + lookAhead; at += OPUS_PACKET_SAMPLES) {
    const frame = new Int16Array(OPUS_PACKET_SAMPLES);
    frame.set(samples.subarray(at, at + OPUS_PACKET_SAMPLES));
    packets.push(handle.encode(frame));
  }
  return packets;
}

/** A whole stream behind its header: the total stands before the packets that reach beyond it. */
function stream(packets: readonly Uint8Array[], total: number, skip = LOOK_AHEAD): Uint8Array {
  const whole = Math.floor((total + skip) / OPUS_PACKET_SAMPLES);
  return concat([
    encodeOpusPackets(packets.slice(0, whole)),
    encodeOpusTotal(total),
    encodeOpusPackets(packets.slice(whole)),
  ]);
}

function header(stretch: number, firstSample: number, more: Partial<MicrophoneHeader> = {}): Uint8Array {
  return encodeHeader({
    type: 'parley.microphone',
    stretch,
    firstSample,
    codec: 'opus',
    lookAhead: LOOK_AHEAD,
    rate: SAMPLE_RATE,
    startMs: 0,
    ...more,
  });
}

/** Runs a machine's Opus streams to where they wait for more. */
class Ear {
  readonly machine = new MicrophoneMachine();
  readonly audio: Uint8Array[] = [];
  readonly decoders: OpusDecoding[];
  readonly events: string[] = [];

  constructor(decoders: OpusDecoding[]) {
    this.decoders = decoders;
  }

  take(...streams: number[]): void {
    for (let more = true; more; ) {
      more = false;
      for (const id of streams) {
        if (!this.machine.undecoded(id)) continue;
        if (this.machine.wantsDecoder(id)) this.machine.giveDecoder(id, this.decoders.shift()!);
        else this.machine.decodeMore();
        more = true;
      }
      for (let out = this.machine.poll(); out !== undefined; out = this.machine.poll()) {
        if (out.type === 'append') this.audio.push(out.pcm);
        else if (out.type === 'event') this.events.push(out.json);
      }
    }
  }

  hears(stream: number, octets: Uint8Array, chunk = octets.length): void {
    for (let at = 0; at < octets.length; at += chunk) {
      this.machine.receive(stream, octets.slice(at, at + chunk));
      this.take(stream);
    }
  }

  get pcm(): Int16Array {
    return octetsToInt16(concat(this.audio));
  }
}

/** Cross-correlation at no shift: 1 for the same wave. */
function likeness(a: Int16Array, b: Int16Array): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    xy += a[i]! * b[i]!;
    xx += a[i]! * a[i]!;
    yy += b[i]! * b[i]!;
  }
  return xy / Math.sqrt(xx * yy);
}

/** How far what is wrong with the audio jumps at a sample, in dB of full scale. */
function clickDb(heard: Int16Array, said: Int16Array, at: number): number {
  const error = (sample: number) => heard[sample]! - said[sample]!;
  return 20 * Math.log10(Math.abs(error(at) - error(at - 1)) / 32_768 + 1e-9);
}

function closeCodeOf(action: () => void): number | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof VoiceProtocolError) return error.closeCode;
    throw error;
  }
  return undefined;
}

let decoders: OpusDecoding[] = [];
beforeAll(async () => {
  decoders = await Promise.all(Array.from({ length: 40 }, createOpusDecoder));
});
const decoder = () => decoders.pop()!;

describe('the octets of an Opus stream', () => {
  test('packets and the total come out as they went in, however the stream is chopped', () => {
    const packets = [1, 63, 64, 1275].map((length) => new Uint8Array(length + 1).fill(length & 0xff));
    const octets = concat([encodeOpusPackets(packets), encodeOpusTotal(123_456_789)]);
    for (const chunk of [1, 7, 64, octets.length]) {
      const reader = new OpusReader();
      const seen: (Uint8Array | number)[] = [];
      for (let at = 0; at < octets.length; at += chunk) {
        reader.push(octets.slice(at, at + chunk));
        for (let entry = reader.next(); entry !== undefined; entry = reader.next())
          seen.push('packet' in entry ? entry.packet.slice() : entry.totalSamples);
      }
      expect(seen).toEqual([...packets, 123_456_789]);
      expect(reader.bufferedOctets).toBe(0);
    }
  });

  test('a packet that is longer than the longest of Opus is refused before it comes (RFC 6716 §3.2.1)', () => {
    const huge = encodeOpusPackets([new Uint8Array(MAX_OPUS_PACKET_OCTETS + 1)]).subarray(0, 2);
    const reader = new OpusReader();
    reader.push(huge);
    expect(closeCodeOf(() => reader.next())).toBe(SessionCloseCode.MALFORMED);
  });

  test('what is not mono, or not one frame of 20 ms, is told by its first octet (RFC 6716 §3.1)', () => {
    const toc = (config: number, stereo: number, frames: number) =>
      Uint8Array.of((config << 3) | (stereo << 2) | frames, 0);
    for (const config of [1, 5, 9, 13, 15, 19, 23, 27, 31])
      expect(opusPacketFault(toc(config, 0, 0))).toBeUndefined();
    for (const config of [0, 2, 3, 12, 16, 17, 18, 30])
      expect(opusPacketFault(toc(config, 0, 0))).toMatch(/20 ms/);
    expect(opusPacketFault(toc(31, 1, 0))).toMatch(/stereo/);
    for (const frames of [1, 2, 3]) expect(opusPacketFault(toc(31, 0, frames))).toMatch(/more than one/);
  });
});

describe('a stretch in Opus', () => {
  test.each([1, 420, 421, 480, 9601, 24_000])(
    'of %i samples comes out as exactly so many, in place',
    async (length) => {
      const said = speech(length);
      const ear = new Ear([decoder()]);
      ear.machine.open(0);
      ear.hears(0, concat([header(0, 0), stream(encode(await encoder(), said), length)]), 50);
      ear.machine.end(0);
      ear.take(0);
      expect(ear.pcm.length).toBe(length);
      expect(ear.machine.receivedSamples).toBe(length);
      expect(ear.machine.streams).toBe(0);
      if (length > 9000) expect(likeness(ear.pcm, said)).toBeGreaterThan(0.98);
    },
  );

  test('PCM, Opus, PCM: no sample lost or doubled, and no step above -40 dB at the seams', async () => {
    const said = speech(72_000);
    const [from, to] = [24_000, 24_000 + 80 * OPUS_PACKET_SAMPLES - LOOK_AHEAD];
    const packets = encode(await encoder(), said.subarray(from, to + LOOK_AHEAD), 0);
    const ear = new Ear([decoder()]);
    const pcm = { codec: 'pcm16', lookAhead: undefined } as const;
    for (const id of [0, 1, 2]) ear.machine.open(id);
    ear.hears(0, concat([header(0, 0, pcm), int16ToOctets(said.subarray(0, from))]), 960);
    ear.machine.end(0);
    ear.hears(1, concat([header(1, from), encodeOpusPackets(packets), encodeOpusTotal(to - from)]), 160);
    ear.machine.end(1);
    // The sample before the seam comes once more, so that both sides of it are known.
    ear.hears(2, concat([header(2, to, { ...pcm, runIn: 1 }), int16ToOctets(said.subarray(to - 1))]), 960);
    ear.machine.end(2);
    ear.take(0, 1, 2);
    expect(ear.pcm.length).toBe(said.length);
    expect(ear.pcm.subarray(0, from)).toEqual(said.subarray(0, from));
    expect(ear.pcm.subarray(to + 240)).toEqual(said.subarray(to + 240));
    expect(likeness(ear.pcm, said)).toBeGreaterThan(0.99);
    for (const seam of [from, to]) expect(clickDb(ear.pcm, said, seam)).toBeLessThan(-45);
    expect(ear.machine.savedOctets).toBeGreaterThan(65_000);
  });

  test('a little that is much is decoded in parts, and nothing while the upstream takes nothing', async () => {
    const said = speech(48_000);
    const ear = new Ear([decoder()]);
    ear.machine.open(0);
    ear.machine.receive(0, concat([header(0, 0), stream(encode(await encoder(), said), said.length)]));
    ear.machine.giveDecoder(0, ear.decoders.shift()!);
    expect(ear.machine.receivedSamples).toBe(25 * OPUS_PACKET_SAMPLES - LOOK_AHEAD);
    ear.machine.setUpstreamReady(false);
    ear.machine.decodeMore();
    expect(ear.machine.receivedSamples).toBe(25 * OPUS_PACKET_SAMPLES - LOOK_AHEAD);
    expect(ear.machine.wants(0)).toBe(false);
    ear.machine.setUpstreamReady(true);
    ear.machine.end(0);
    ear.take(0);
    expect(ear.pcm.length).toBe(said.length);
  });

  test.each([
    ['a million packets of one octet', concat(Array.from({ length: 1000 }, () => Uint8Array.of(1, 0xf8))), 2],
    ['a huge one', Uint8Array.of(0x7f, 0xff), 2],
    ['a stereo packet', encodeOpusPackets([Uint8Array.of(0xfc, 1, 2, 3)]), 2],
    ['three frames in one', encodeOpusPackets([Uint8Array.of(0xfb, 3, 2, 3, 4, 5, 6, 7)]), 2],
    ['frames of 10 ms', encodeOpusPackets([Uint8Array.of(0xf0, 1, 2, 3)]), 2],
    [
      'a total less than came',
      concat([encodeOpusPackets([Uint8Array.of(0xf8, 0xff, 0xfe)]), encodeOpusTotal(1)]),
      6,
    ],
    ['two totals', concat([encodeOpusTotal(1), encodeOpusTotal(1)]), 6],
    [
      'packets behind the total',
      concat([encodeOpusTotal(0), encodeOpusPackets([Uint8Array.of(0xf8, 0xff)])]),
      6,
    ],
  ])('%s end the call in words', (_, octets, closeCode) => {
    const ear = new Ear([decoder()]);
    ear.machine.open(0);
    expect(closeCodeOf(() => ear.hears(0, concat([header(0, 0), octets])))).toBe(closeCode);
  });

  test.each([
    ['in the middle of a packet', Uint8Array.of(20, 0xf8)],
    ['without its total', encodeOpusPackets([Uint8Array.of(0xf8, 0xff, 0xfe)])],
    ['before its total', encodeOpusTotal(5)],
  ])('a stream that ends %s ends the call in words', (_, octets) => {
    const ear = new Ear([decoder()]);
    ear.machine.open(0);
    ear.hears(0, concat([header(0, 0), octets]));
    const end = () => {
      ear.machine.end(0);
      ear.take(0);
    };
    expect(closeCodeOf(end)).toBe(SessionCloseCode.MICROPHONE_BROKEN);
  });

  test('octets that are no Opus, of any kind, end the call or are decoded: nothing else', () => {
    let seed = 7;
    const random = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed >>> 16;
    };
    const decoding = decoder();
    let [taken, refused] = [0, 0];
    for (let n = 0; n < 3000; n++) {
      const packet = Uint8Array.from({ length: 2 + (random() % 200) }, random);
      packet[0] = (packet[0]! & 0b1110_0000) | 0b0001_1000; // config 3, 7, …: those of CELT are of 20 ms
      const stretch = new OpusStretch(0, 0);
      stretch.push(encodeOpusPackets([packet]));
      const code = closeCodeOf(() => expect(stretch.next(decoding)?.length).toBe(2 * OPUS_PACKET_SAMPLES));
      if (code === undefined) taken += 1;
      else refused += 1;
    }
    expect(taken + refused).toBe(3000);
    expect(taken).toBeGreaterThan(100);
  });
});

describe('a page that sends again', () => {
  const pcm = { codec: 'pcm16', lookAhead: undefined } as const;

  test('streams that were given up are left out; what had arrived is not taken twice, and events keep their place', async () => {
    const said = speech(48_000);
    const ear = new Ear([decoder(), decoder()]);
    ear.machine.open(0);
    ear.machine.event('{"type":"first"}', 0);
    ear.hears(
      0,
      concat([header(0, 0, { ...pcm, orderedEvents: 1 }), int16ToOctets(said.subarray(0, 12_000))]),
    );
    ear.machine.abandoned(0);
    // The page knew of 9600 samples; a second stretch of the same resend overtakes the first.
    const resend = { number: 1, from: 9600 };
    const first = stream(encode(await encoder(), said.subarray(9600, 30_000)), 20_400);
    const second = stream(encode(await encoder(), said.subarray(30_000)), 18_000);
    ear.machine.open(2);
    ear.machine.open(1);
    ear.machine.event('{"type":"second"}', 30_000);
    ear.hears(2, concat([header(1, 30_000, { resend, orderedEvents: 2 }), second]));
    ear.machine.end(2);
    ear.hears(1, concat([header(0, 9600, { resend, orderedEvents: 1 }), first]), 300);
    expect(ear.machine.receivedSamples).toBe(30_000);
    ear.machine.end(1);
    ear.take(1, 2);
    expect(ear.pcm.length).toBe(said.length);
    expect(ear.pcm.subarray(0, 12_000)).toEqual(said.subarray(0, 12_000));
    expect(likeness(ear.pcm, said)).toBeGreaterThan(0.97);
    expect(clickDb(ear.pcm, said, 12_000)).toBeLessThan(-45);
    expect(ear.events).toEqual(['{"type":"first"}', '{"type":"second"}']);
    expect(ear.machine.streams).toBe(0);
  });

  test('the new streams may come before the old one is known to be given up', () => {
    const said = speech(9600);
    const ear = new Ear([]);
    ear.machine.open(0);
    ear.hears(0, concat([header(0, 0, pcm), int16ToOctets(said.subarray(0, 960))]));
    ear.machine.open(1);
    const resend = { number: 1, from: 480 };
    ear.hears(1, concat([header(0, 480, { ...pcm, resend }), int16ToOctets(said.subarray(480))]), 700);
    expect(ear.machine.knows(0)).toBe(false);
    ear.machine.abandoned(0); // late, and of no effect
    ear.machine.end(1);
    ear.take(1);
    expect(ear.pcm).toEqual(said);
  });

  test('from a sample that never came, or never at all, ends the call in words', () => {
    const ahead = new Ear([]);
    ahead.machine.open(0);
    const resend = { number: 1, from: 1 };
    expect(closeCodeOf(() => ahead.hears(0, header(0, 1, { ...pcm, resend })))).toBe(
      SessionCloseCode.MICROPHONE_BROKEN,
    );
    const silent = new Ear([]);
    silent.machine.open(0);
    silent.hears(0, header(0, 0, pcm));
    silent.machine.abandoned(0);
    silent.machine.check(0, 1000);
    silent.machine.check(900, 1000);
    expect(closeCodeOf(() => silent.machine.check(1001, 1000))).toBe(SessionCloseCode.MICROPHONE_BROKEN);
  });
});
