import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

async function call(context: Partial<VoiceContext> = {}, upstream = new FakeUpstream().open()) {
  const { client, server } = memorySessionPair();
  const log: Record<string, unknown>[] = [];
  const state = { over: false };
  const served = serveVoice(server, {
    backend: 'backend-1',
    serverId: '0001',
    upstreamKind: 'local',
    openUpstream: () => upstream,
    logger: pino({}, { write: (line: string) => void log.push(JSON.parse(line)) }),
    ...context,
  }).then(() => {
    state.over = true;
  });
  const page = await new VoicePage(client).start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { client, page, upstream, served, state, log };
}

const voice = (octets: number) => new Uint8Array(octets).map((_, i) => i * 7);
const received = (page: VoicePage) =>
  page.messages
    .filter(({ type }) => type === 'parley.received')
    .map(({ microphoneSamples }) => microphoneSamples);

describe('hanging up', () => {
  test('the last sample is acknowledged: at the end of each stretch, and while audio arrives', async () => {
    const { page, client, served } = await call();
    const writer = (await page.microphone(0, 0)).getWriter();
    await writer.write(voice(2000));
    await until(() => received(page).at(-1) === 1000, 'the samples so far', 400);
    await writer.write(voice(500));
    await writer.close();
    await until(() => received(page).at(-1) === 1250, 'all of the stretch', 150);
    await page.speak(1, 1250, [voice(100)]);
    await until(() => received(page).at(-1) === 1300, 'the next stretch', 150);
    client.close();
    await served;
  });

  test('speech that overtook the hello is acknowledged behind parley.ready, which stays the first message', async () => {
    const { client, server } = memorySessionPair();
    const served = serveVoice(server, {
      backend: 'backend-1',
      serverId: '0001',
      upstreamKind: 'local',
      openUpstream: () => new FakeUpstream(),
      logger: pino({ level: 'silent' }),
    });
    const page = await new VoicePage(client).start(null);
    const spoken = page.speak(0, 0, [voice(2000)]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(page.messages).toEqual([]);
    await page.send(HELLO);
    await until(() => received(page).at(-1) === 1000, 'the acknowledgement');
    await spoken;
    expect(page.messages[0]?.type).toBe('parley.ready');
    client.close();
    await served;
  });

  test('what arrived before the session closed goes to the upstream, a stretch with and without its end', async () => {
    const { page, client, upstream, served } = await call();
    await page.speak(0, 0, [voice(5000)]);
    const writer = (await page.microphone(1, 2500)).getWriter();
    await writer.write(voice(700));
    client.close();
    await served;
    expect(upstream.audio).toEqual(new Uint8Array([...voice(5000), ...voice(700)]));
    expect(upstream.closed).toBe(true);
  });

  test('an upstream that opens a moment later still gets it, one that does not is not waited for long', async () => {
    const slow = await call({}, new FakeUpstream());
    await slow.page.speak(0, 0, [voice(5000)]);
    await until(() => received(slow.page).at(-1) === 2500, 'the acknowledgement');
    slow.client.close();
    setTimeout(() => slow.upstream.open(), 200);
    await slow.served;
    expect(slow.upstream.audio).toEqual(voice(5000));
    const never = await call({}, new FakeUpstream());
    await never.page.speak(0, 0, [voice(5000)]);
    const before = performance.now();
    never.client.close();
    await never.served;
    expect(performance.now() - before).toBeLessThan(4000);
    expect(never.upstream.closed).toBe(true);
  }, 15_000);

  test('the control stream ends while speech still arrives: it is waited for as long as samples come', async () => {
    const { page, client, upstream, served, state } = await call();
    const writer = (await page.microphone(0, 0)).getWriter();
    await page.endControl();
    for (let i = 0; i < 30; i++) {
      await writer.write(voice(960));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(state.over).toBe(false);
    }
    await writer.close();
    await served;
    expect(upstream.audio.length).toBe(30 * 960);
    client.close();
  }, 15_000);
});

describe('the log of a call', () => {
  test('one line when it begins and one at its end explain it', async () => {
    const { page, client, upstream, served, log } = await call({ sessionId: 'session-1' });
    upstream.emit({ type: 'session.created', session: { id: 'sess_abc' } });
    await page.speak(0, 0, [voice(4800)]);
    upstream.delta('item_1', voice(4800));
    await until(() => page.answers[0]?.chunks.length === 1, 'the answer');
    upstream.emit({ type: 'input_audio_buffer.speech_started' });
    upstream.delta('item_1', voice(480));
    const position = { itemId: 'item_1', contentIndex: 0, playedMs: 1, playedSamples: 24, cleared: true };
    await page.send({ type: 'parley.playback.position', ...position, underruns: 3 } as { type: string });
    await until(() => upstream.events.length === 1, 'the truncation');
    await page.endControl();
    await served;
    client.close();
    expect(log.map(({ msg }) => msg)).toEqual(['call began', 'upstream began', 'call ended']);
    expect(log[0]).toMatchObject({ session: 'session-1', caller: '127.0.0.1:1', upstream: 'local' });
    expect(log[1]).toMatchObject({ session: 'session-1', upstreamSession: 'sess_abc' });
    expect(log[2]).toMatchObject({
      session: 'session-1',
      caller: '127.0.0.1:1',
      durationMs: expect.any(Number),
      closeCode: 0,
      reason: 'The page ended the call.',
      rttMs: 21,
      packetsSent: 4,
      packetsLost: 0,
      microphoneSamples: 2400,
      answerSamples: 2400,
      answerSamplesDropped: 240,
      underruns: 3,
      bargeIns: 1,
      upstreamSession: 'sess_abc',
    });
  });
});
