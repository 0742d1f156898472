import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import { serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, VoicePage } from '../../support/voice-page.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function call(context: Partial<VoiceContext> = {}) {
  const { client, server } = memorySessionPair();
  const upstream = new FakeUpstream().open();
  const served = serveVoice(server, {
    ...voiceContext(upstream),
    ...context,
  });
  ends.push(async () => {
    client.close();
    await served;
  });
  const page = await new VoicePage(client).start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  return { client, page, upstream, served };
}

/** Octets that differ from place to place. */
const noise = (octets: number) => new Uint8Array(octets).map((_, i) => i * 31);

describe('what one call may cost', () => {
  test('a message longer than its bound is left out in words, and the call goes on', async () => {
    let refused = 0;
    const { page, upstream } = await call({
      limits: { maxControlOctets: 1000 },
      observer: { pageEventRefused: () => refused++ },
    });
    for (const length of [1001, 300_000]) {
      await page.send({ type: 'session.update', text: 'x'.repeat(length) } as { type: string });
      await page.send({ type: 'response.create' });
    }
    await until(() => upstream.sent.length === 2, 'what came behind');
    expect(upstream.sent).toEqual([{ type: 'response.create' }, { type: 'response.create' }]);
    await until(() => page.messages.filter((m) => m.type === 'parley.error').length === 2, 'the errors');
    expect(page.find('parley.error')).toMatchObject({ code: 'event_too_large', retry: false });
    expect(refused).toBe(2);
  });

  test('an image passes; a message of Parley’s own of that length does not, and stretches behind it do', async () => {
    const { page, upstream } = await call();
    const image_url = `data:image/jpeg;base64,${'A'.repeat(7 << 20)}`;
    const image = {
      type: 'conversation.item.create',
      item: { content: [{ type: 'input_image', image_url }] },
    };
    await page.send(image);
    const event = { type: 'input_audio_buffer.commit', text: 'x'.repeat(1 << 20) };
    await page.send({ type: 'parley.ordered', microphoneSamples: 0, event } as { type: string });
    await page.speak(0, 0, [noise(960)], 1);
    await until(() => upstream.audio.length === 960, 'the audio');
    expect(upstream.events).toEqual([image]);
    expect(page.find('parley.error')).toMatchObject({ code: 'event_too_large' });
  });

  test('an event nested deep passes as it is; one that cannot be written again is refused in words', async () => {
    const { page, upstream } = await call();
    const deep = (depth: number) =>
      `{"type":"conversation.item.create","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    const send = (json: string) => {
      const octets = new TextEncoder().encode(json);
      return page.sendRaw(concat([encodeVarint(octets.length), octets]));
    };
    await send(deep(5000));
    await send(deep(100_000));
    await send(`{"type":"parley.ordered","microphoneSamples":0,"event":${deep(100_000)}}`);
    await until(() => upstream.texts.length === 2, 'both events');
    expect(upstream.texts).toEqual([deep(5000), deep(100_000)]);
    await until(() => page.find('parley.error') !== undefined, 'the refusal');
    expect(page.find('parley.error')).toMatchObject({ code: 'event_refused', retry: false });
  });

  test('a page that does not read is not read either: answers to it cannot pile up', async () => {
    let refused = 0;
    const { page, client } = await call({ observer: { pageEventRefused: () => refused++ } });
    page.inattentive = true;
    let written = 0;
    const flood = (async () => {
      for (; written < 200_000 && page.closeInfo === undefined; written++)
        await page.send({ type: 'not.allowed' });
    })();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(refused).toBeLessThan(5000);
    expect(written).toBeLessThan(20_000);
    client.close();
    await flood;
  });

  test('events that a page does not read end the call at the bound', async () => {
    const faults: string[] = [];
    const { page, upstream, served } = await call({
      limits: { maxPageQueueOctets: 1 << 20 },
      logger: pino({ level: 'error' }, { write: (line: string) => void faults.push(line) }),
    });
    page.inattentive = true;
    let sent = 0;
    for (; sent < 20_000 && !upstream.closed; sent++) upstream.emit({ type: 'a' });
    await served;
    expect(sent).toBeGreaterThan(7000); // counted in entries too: 20 octets each would be 50 000
    expect(sent).toBeLessThan(15_000);
    expect(faults).toEqual([]);
  });
});
