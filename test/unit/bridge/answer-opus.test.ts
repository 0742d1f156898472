import { pino } from 'pino';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  type AnswerCodec,
  encodeMessage,
  type Message,
  type OpusDecoding,
  OpusStretch,
  octetsToInt16,
  SessionCloseCode,
  VOICE_PROTOCOL,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { AnswerCodecChoice } from '../../../server/bridge/answer-codec.ts';
import { serveVoice } from '../../../server/bridge/index.ts';
import { createOpusDecoder } from '../../../server/bridge/opus.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { Comparison } from '../../support/spoken-words.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const logger = pino({ level: 'silent' });
const ends: (() => Promise<void>)[] = [];
const decoders: OpusDecoding[] = [];

beforeAll(async () => {
  for (let n = 0; n < 12; n++) decoders.push(await createOpusDecoder());
});

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function call(hello: object) {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  page.silent = true;
  const upstream = new FakeUpstream().open();
  const served = serveVoice(server, { ...voiceContext(upstream), logger });
  ends.push(async () => {
    client.close();
    await served;
  });
  await page.start({ type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: ['pcm16'], ...hello } as never);
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { page, upstream, server };
}

const takesOpus = { answerCodecs: ['pcm16', 'opus'] };
const opusAlways = { ...takesOpus, answerCodec: 'opus' };

/** Loud speech of its own kind. */
function speech(length: number): Int16Array {
  return Int16Array.from({ length }, (_, i) => {
    const t = i / 24_000;
    return 11_000 * Math.sin(2 * Math.PI * (170 * t + 8 * Math.sin(2 * t))) * (0.7 + 0.3 * Math.sin(11 * t));
  });
}

const octets = (samples: Int16Array) =>
  new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength).slice();

/** What a stream of Opus stands for. */
function decoded({ header, chunks }: VoicePage['answers'][number], ended = true): Int16Array {
  const decoder = decoders.pop()!;
  const stretch = new OpusStretch(header?.lookAhead ?? 0, 0);
  stretch.push(concat(chunks));
  const parts: Uint8Array[] = [];
  for (let next = stretch.next(decoder); next !== undefined; next = stretch.next(decoder))
    parts.push(next.slice());
  if (ended) stretch.end();
  return octetsToInt16(concat(parts));
}

describe('answers as Opus', () => {
  test.each([1, 420, 421, 480, 4800, 24_017])('of %i samples bring exactly as many', async (length) => {
    const { page, upstream } = await call(opusAlways);
    expect(page.find('parley.ready')?.answerCodecs).toEqual(['pcm16', 'opus']);
    const said = speech(length);
    for (let at = 0; at < length; at += 2400) upstream.delta('item_1', octets(said.subarray(at, at + 2400)));
    upstream.done('item_1');
    await until(() => page.answers[0]?.ended === true, 'the answer');
    expect(page.answers[0]?.header).toMatchObject({ codec: 'opus', firstSample: 0, lookAhead: 60 });
    const heard = decoded(page.answers[0]!);
    expect(heard.length).toBe(length);
    if (length >= 4800) expect(new Comparison(said, heard, []).correlation).toBeGreaterThan(0.97);
  });

  test('take an eighth of the octets, and the page is told', async () => {
    const { page, upstream } = await call(opusAlways);
    upstream.delta('item_1', octets(speech(48_000)));
    upstream.done('item_1');
    await until(() => page.answers[0]?.ended === true, 'the answer');
    const sent = page.answers[0]!.chunks.reduce((sum, { length }) => sum + length, 0);
    expect(sent).toBeLessThan(96_000 / 8);
    const stats = () => page.messages.filter(({ type }) => type === 'parley.stats').at(-1);
    await until(() => stats() !== undefined, 'figures');
    const { codec, savedOctets } = stats()!.answers as { codec: string; savedOctets: number };
    expect(codec).toBe('opus');
    expect(savedOctets).toBeGreaterThan(80_000);
  });

  test('are PCM for a page that offers none, and while an auto page has no complaint', async () => {
    for (const hello of [{}, takesOpus, { answerCodecs: ['pcm16', 'mp3'] }]) {
      const { page, upstream } = await call(hello);
      upstream.delta('item_1', octets(speech(960)));
      upstream.done('item_1');
      await until(() => page.answers[0]?.ended === true, 'the answer');
      expect(page.answers[0]?.header?.codec).toBe('pcm16');
    }
  });

  test('a cut resets the stream, and what is heard counts in samples', async () => {
    const { page, upstream } = await call(opusAlways);
    upstream.emit({ type: 'response.created', response: { id: 'resp_1', conversation_id: 'conv' } });
    upstream.delta('item_1', octets(speech(24_000)));
    await until(() => page.answers[0]?.chunks.length !== 0 && page.answers[0] !== undefined, 'some of it');
    upstream.emit({
      type: 'input_audio_buffer.speech_started',
      item_id: 'user',
      audio_start_ms: 0,
    } as Message);
    await until(() => page.types().includes('parley.playback.clear'), 'the clear');
    await page.send({
      type: 'parley.playback.position',
      itemId: 'item_1',
      contentIndex: 0,
      playedMs: 200,
      playedSamples: 4800,
      cleared: true,
    } as never);
    await until(
      () => upstream.sent.some(({ type }) => type === 'conversation.item.truncate'),
      'the truncation',
    );
    const truncation = upstream.sent.find(({ type }) => type === 'conversation.item.truncate');
    expect(truncation).toMatchObject({ item_id: 'item_1', audio_end_ms: 200 });
    expect(page.answers[0]?.ended).not.toBe(true);
  });
});

describe('an answer that changes its codec on its way', () => {
  async function switched(received: number) {
    const { page, upstream } = await call(takesOpus);
    const said = speech(72_000);
    upstream.delta('item_1', octets(said.subarray(0, 48_000)));
    await until(() => (page.answers[0]?.chunks.length ?? 0) > 0, 'some of it');
    await page.send({
      type: 'parley.received',
      messages: 0,
      answers: [{ answer: 0, samples: received, ended: false }],
    } as never);
    await page.send({ type: 'parley.downlink', codec: 'opus', bufferedMs: 0 } as never);
    return { page, upstream, said };
  }

  test('goes on in a stream of the next carriage, a little before what the page has', async () => {
    const { page, upstream, said } = await switched(12_000);
    upstream.delta('item_1', octets(said.subarray(48_000)));
    upstream.done('item_1');
    await until(() => page.answers[1]?.ended === true, 'the rest');
    const { header } = page.answers[1]!;
    expect(header).toMatchObject({ codec: 'opus', answer: 0, carriage: 1, firstSample: 12_000 - 240 });
    const heard = decoded(page.answers[1]!);
    expect(heard.length).toBe(72_000 - 11_760);
    const compared = new Comparison(said.subarray(11_760), heard, []);
    expect(compared.shift).toBe(0);
    expect(compared.correlation).toBeGreaterThan(0.97);
  });

  test('not where a slow model, and not the network, is what the page waits for', async () => {
    const { page, upstream, said } = await switched(48_000 - 2400);
    upstream.delta('item_1', octets(said.subarray(48_000, 50_400)));
    upstream.done('item_1');
    await until(() => page.answers[0]?.ended === true, 'the answer');
    expect(page.answers.length).toBe(1);
  });

  test('back to PCM at once where the page cannot decode, and 16 times at most', async () => {
    const { page } = await switched(0);
    await until(() => page.answers[1]?.header?.codec === 'opus', 'Opus');
    const ask = (codec: AnswerCodec) => page.send({ type: 'parley.downlink', codec, bufferedMs: 0 } as never);
    await ask('pcm16');
    await until(() => page.answers[2]?.header?.codec === 'pcm16', 'PCM');
    expect(page.answers[2]?.header?.carriage).toBe(2);
    for (let n = 0; n < 200; n++) await ask(n % 2 === 0 ? 'opus' : 'pcm16');
    await page.send({ type: 'parley.no-such-thing' });
    await until(() => page.types().includes('parley.error'), 'all of it');
    expect(page.answers.length).toBeLessThanOrEqual(17);
  });

  test('a word that is no codec ends the session as malformed', async () => {
    const { page } = await call(takesOpus);
    await page.sendRaw(encodeMessage({ type: 'parley.downlink', codec: 'mp3', bufferedMs: 0 } as never));
    await until(() => page.closeInfo !== undefined, 'the end');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.MALFORMED);
  });
});

describe('the choice of the codec of answers', () => {
  const lossy = { packetsSent: 200, packetsLost: 30 };

  test('Opus from the start where packets are lost, or the microphone had to take it', () => {
    const choice = new AnswerCodecChoice();
    choice.carriedBy(takesOpus);
    expect(choice.codec).toBe('pcm16');
    choice.network({ packetsSent: 100, packetsLost: 0 });
    choice.network(lossy);
    expect(choice.codec).toBe('opus');
    for (let n = 1; n < 20; n++) choice.network({ packetsSent: 200 + 50 * n, packetsLost: 30 });
    expect(choice.codec).toBe('pcm16');
    choice.microphone('opus');
    expect(choice.codec).toBe('opus');
  });

  test("the page's word counts, and nothing is sent that it does not take", () => {
    const choice = new AnswerCodecChoice();
    choice.carriedBy(takesOpus);
    choice.microphone('opus');
    choice.downlink({ type: 'parley.downlink', codec: 'pcm16', bufferedMs: 0 });
    expect(choice.codec).toBe('pcm16');
    choice.carriedBy({ answerCodec: 'opus' });
    choice.downlink({ type: 'parley.downlink', codec: 'opus', bufferedMs: 0 });
    expect(choice.codec).toBe('pcm16');
  });
});
