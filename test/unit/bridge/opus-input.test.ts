import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import {
  encodeHeader,
  encodeOpusPackets,
  encodeOpusTotal,
  type MicrophoneHeader,
  SessionCloseCode,
  VOICE_PROTOCOL,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { serveVoice } from '../../../server/bridge/index.ts';
import { createOpusEncoder } from '../../../server/bridge/opus.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** A call of a page that speaks Opus. */
async function call() {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const upstream = new FakeUpstream().open();
  const served = serveVoice(server, { ...voiceContext(upstream), logger: pino({ level: 'silent' }) });
  ends.push(async () => {
    client.close();
    await served;
    expect(upstream.closed).toBe(true);
  });
  await page.start({ type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: ['pcm16', 'opus'] } as never);
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { page, upstream };
}

async function speak(page: VoicePage, octets: Uint8Array, more: object = {}, ended = true): Promise<void> {
  const header = {
    type: 'parley.microphone',
    stretch: 0,
    firstSample: 0,
    codec: 'opus',
    lookAhead: 60,
    rate: 24_000,
    startMs: 0,
    ...more,
  } as MicrophoneHeader;
  const writer = (await page.session.createUnidirectionalStream()).getWriter();
  writer.closed.catch(() => {});
  try {
    await writer.write(encodeHeader(header));
    if (octets.length > 0) await writer.write(octets);
    if (ended) await writer.close();
  } catch {
    // The session is over by then.
  }
}

/** Packets of 20 ms of noise. */
async function packets(count: number): Promise<Uint8Array[]> {
  const encoder = await createOpusEncoder();
  const frame = Int16Array.from({ length: 480 }, (_, i) => ((i * 7919) % 2000) - 1000);
  const made = Array.from({ length: count }, () => encoder.encode(frame).slice());
  encoder.free();
  return made;
}

const changed = (packet: Uint8Array, toc: (toc: number) => number) =>
  Uint8Array.of(toc(packet[0]!), ...packet.subarray(1));

describe("a page's Opus that is none", () => {
  const cases: readonly [string, (good: Uint8Array[]) => Uint8Array, SessionCloseCode, RegExp][] = [
    [
      'stereo',
      ([one]) => encodeOpusPackets([changed(one!, (toc) => toc | 4)]),
      SessionCloseCode.MALFORMED,
      /stereo/,
    ],
    [
      'of 10 ms',
      ([one]) => encodeOpusPackets([changed(one!, () => 26 << 3)]),
      SessionCloseCode.MALFORMED,
      /20 ms/,
    ],
    [
      'of 60 ms',
      ([one]) => encodeOpusPackets([changed(one!, () => 3 << 3)]),
      SessionCloseCode.MALFORMED,
      /20 ms/,
    ],
    [
      'of two frames',
      ([one]) => encodeOpusPackets([changed(one!, (toc) => toc | 1)]),
      SessionCloseCode.MALFORMED,
      /more than one frame/,
    ],
    [
      'announced as huge',
      () => Uint8Array.of(0xbf, 0xff, 0xff, 0xff, 1, 2),
      SessionCloseCode.MALFORMED,
      /1276/,
    ],
    [
      'a million of one octet',
      () => new Uint8Array(2_000_000).fill(1),
      SessionCloseCode.MALFORMED,
      /2 to 1276/,
    ],
    [
      'cut in the middle',
      ([one]) => encodeOpusPackets([one!]).subarray(0, 30),
      SessionCloseCode.MICROPHONE_BROKEN,
      /middle of a packet/,
    ],
    [
      'without its number of samples',
      (good) => encodeOpusPackets(good),
      SessionCloseCode.MICROPHONE_BROKEN,
      /without saying/,
    ],
    [
      'of fewer samples than it says',
      (good) => concat([encodeOpusPackets(good), encodeOpusTotal(1_000_000)]),
      SessionCloseCode.MICROPHONE_BROKEN,
      /of its 1000000/,
    ],
  ];

  test.each(cases)('%s: the session ends in words', async (_, octets, code, words) => {
    const { page } = await call();
    await speak(page, octets(await packets(5)));
    await until(() => page.closeInfo !== undefined, 'the end');
    expect(page.closeInfo?.closeCode).toBe(code);
    expect(page.closeInfo?.reason).toMatch(words);
  });

  test.each([
    ['another rate', { rate: 48_000 }],
    ['a look-ahead without end', { lookAhead: 1e9 }],
    ['a run-in below 0', { runIn: -1 }],
    ['a codec of its own', { codec: 'mp3' }],
  ])('a header with %s ends it as malformed', async (_, more) => {
    const { page } = await call();
    await speak(page, new Uint8Array(0), more, false);
    await until(() => page.closeInfo !== undefined, 'the end');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.MALFORMED);
  });

  test('packets cut short within their length are audio of some kind, or end it; never more than they stand for', async () => {
    const good = await packets(20);
    for (const length of [2, 3, 10, 40]) {
      const { page, upstream } = await call();
      const cut = good.map((packet) => packet.subarray(0, length));
      await speak(page, concat([encodeOpusPackets(cut), encodeOpusTotal(20 * 480 - 60)]));
      const heard = () => upstream.audio.length / 2;
      await until(() => page.closeInfo !== undefined || heard() >= 20 * 480 - 60, 'all of it, or the end');
      if (page.closeInfo !== undefined) expect(page.closeInfo.closeCode).toBe(SessionCloseCode.MALFORMED);
      expect(heard()).toBeLessThanOrEqual(20 * 480 - 60);
    }
  });

  test('ten thousand packets of 3 octets are 200 s of audio, and are taken as the upstream takes them', async () => {
    const { page, upstream } = await call();
    const silence = Uint8Array.of(0xd8, 0xff, 0xfe);
    const octets = encodeOpusPackets(Array.from({ length: 10_000 }, () => silence));
    await speak(page, concat([octets, encodeOpusTotal(10_000 * 480 - 60)]));
    await until(
      () => upstream.audio.length / 2 >= 10_000 * 480 - 60 || page.closeInfo !== undefined,
      'all',
      60_000,
    );
    expect(page.closeInfo).toBeUndefined();
    expect(upstream.audio.length / 2).toBe(10_000 * 480 - 60);
  }, 90_000);
});
