import { afterEach, describe, expect, test } from 'vitest';
import { MAX_HELD_EVENTS, SessionCloseCode } from '../../../proto/voice/index.ts';
import { serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { StreamError } from '../../../server/webtransport/types.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const COMMIT = { type: 'input_audio_buffer.commit' };
const CLEAR = { type: 'input_audio_buffer.clear' };
const CREATE = { type: 'response.create' };
const ordered = (microphoneSamples: number, event: { type: string }) => ({
  type: 'parley.ordered',
  microphoneSamples,
  event,
});

let over: Promise<void> | undefined;
let client: ReturnType<typeof memorySessionPair>['client'];
async function call(limits: VoiceContext['limits'] = {}) {
  const pair = memorySessionPair();
  client = pair.client;
  const upstream = new FakeUpstream().open();
  over = serveVoice(pair.server, {
    ...voiceContext(upstream),
    limits,
  });
  const page = await new VoicePage(client).start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { page, upstream };
}
afterEach(async () => {
  client.close();
  await over;
});

/** What the upstream got, audio as its number of samples. */
const heard = (upstream: FakeUpstream) =>
  upstream.sent.map((event) =>
    event.type === 'input_audio_buffer.append' ? Buffer.from(event.audio, 'base64').length / 2 : event.type,
  );

/** Everything that the page sent on the control stream before this was read. */
async function controlRead(page: VoicePage): Promise<void> {
  await page.send({ type: 'parley.unknown' });
  await until(() => page.find('parley.error') !== undefined, 'the refusal that stands behind it');
}

describe('events that have a place in the audio', () => {
  test('a commit that overtook the microphone waits for its samples, and later events wait behind it', async () => {
    const { page, upstream } = await call();
    await page.send(ordered(1000, COMMIT));
    await page.send(CREATE);
    const writer = (await page.microphone(0, 0)).getWriter();
    await writer.write(new Uint8Array(1920)); // 960 samples
    await until(() => upstream.audio.length === 1920, 'the first part');
    await controlRead(page);
    expect(heard(upstream)).toEqual([960]);
    await writer.write(new Uint8Array(80)); // 40 samples: less than is gathered otherwise, and no FIN yet
    await until(() => upstream.events.length === 2, 'the events');
    expect(heard(upstream)).toEqual([960, 40, COMMIT.type, CREATE.type]);
  });

  test('a commit that came late flushes what was gathered before it', async () => {
    const { page, upstream } = await call();
    const writer = (await page.microphone(0, 0)).getWriter();
    await writer.write(new Uint8Array(200));
    await page.send(ordered(100, COMMIT));
    await until(() => upstream.events.length === 1, 'the commit');
    expect(heard(upstream)).toEqual([100, COMMIT.type]);
  });

  test('a stretch that was begun after a clear waits for it: its first word is not cleared', async () => {
    const { page, upstream } = await call();
    await page.speak(0, 0, [new Uint8Array(2000)]);
    const second = page.speak(1, 1000, [new Uint8Array(3000)], 1);
    // A stretch that did not wait would have been handed on by then; one that waits may do so for any time.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(heard(upstream)).toEqual([1000]);
    await page.send(ordered(1000, CLEAR));
    await second;
    await until(() => upstream.audio.length === 5000, 'the second stretch');
    expect(heard(upstream)).toEqual([1000, CLEAR.type, 1500]);
  });

  test('one that is refused keeps its number, so that stretches behind it are not stuck', async () => {
    const { page, upstream } = await call();
    await page.send(ordered(0, { type: 'not.allowed' }));
    await page.speak(0, 0, [new Uint8Array(960)], 1);
    await until(() => upstream.audio.length === 960, 'the stretch');
    expect(page.find('parley.error')).toMatchObject({ code: 'event_refused' });
    expect(upstream.events).toEqual([]);
  });

  test('when the microphone stream it waits for is reset, the call ends and the event is never sent', async () => {
    const { page, upstream } = await call();
    const stream = await page.microphone(0, 0);
    await page.send(ordered(100, COMMIT));
    await controlRead(page);
    await stream.abort(new StreamError(0, 'gone'));
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.MICROPHONE_BROKEN);
    expect(upstream.sent).toEqual([]);
  });

  test.each([
    ['an event waits for samples', ordered(100, COMMIT), 0, /waits for sample 100, but 0 came/],
    ['a stretch waits for events', CREATE, 3, /waits for ordered event 3, but 0 came/],
  ])('when %s that never come, the call ends in words', async (_, event, orderedEvents, sentence) => {
    const { page } = await call({ orderedTimeoutMs: 1 });
    await page.send(event);
    if (orderedEvents > 0) page.speak(0, 0, [new Uint8Array(960)], orderedEvents).catch(() => {});
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo).toMatchObject({
      closeCode: SessionCloseCode.MICROPHONE_BROKEN,
      reason: expect.stringMatching(sentence),
    });
  });

  test('more events than a person makes may not wait', async () => {
    const { page } = await call();
    await page.send(ordered(100, COMMIT));
    for (let i = 0; i < MAX_HELD_EVENTS; i++) await page.send(CREATE);
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.QUEUE_FULL);
    expect(page.find('parley.error')).toMatchObject({ code: 'queue_full' });
  });

  test('an ordered event that is none ends the call', async () => {
    const { page } = await call();
    await page.send({ type: 'parley.ordered', microphoneSamples: 0, event: 'commit' } as { type: string });
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.MALFORMED);
  });
});
