import { describe, expect, test } from 'vitest';
import { UpstreamLink } from '../../../server/bridge/upstream-link.ts';
import { until } from '../../support/realtime.ts';
import { FakeUpstream } from '../../support/voice-page.ts';

function link(maxOctets = 1 << 20) {
  let overflows = 0;
  const listener = { event: () => {}, ended: () => {}, overflowed: () => overflows++ };
  const upstream = new FakeUpstream();
  const made = new UpstreamLink(listener, maxOctets);
  made.attach(upstream);
  return { upstream, link: made, overflows: () => overflows };
}

describe('events on their way to the upstream', () => {
  test('wait as text in order while it is not open, and while its socket is full', async () => {
    const { upstream, link: way } = link();
    const texts = Array.from({ length: 20 }, (_, n) => `{"type":"event",  "n":${n}}`);
    for (const text of texts.slice(0, 5)) way.sendText(text);
    expect(upstream.texts).toEqual([]);
    upstream.open();
    expect(upstream.texts).toEqual(texts.slice(0, 5));
    upstream.bufferedAmount = 1 << 18;
    for (const text of texts.slice(5)) way.sendText(text);
    expect(upstream.texts).toHaveLength(5);
    upstream.bufferedAmount = 0;
    await until(() => upstream.texts.length === 20, 'the rest');
    expect(upstream.texts).toEqual(texts);
    expect(way.bufferedOctets).toBe(0);
    way.close();
  });

  test('are bounded in entries as in octets, and cost less than four times what is counted', () => {
    const { link: way, overflows } = link(1 << 20);
    const before = process.memoryUsage().heapUsed;
    let sent = 0;
    for (; overflows() === 0; sent++) way.sendText(`{"type":"response.create","n":${sent}}`);
    expect(sent).toBeGreaterThan(8000);
    expect(sent).toBeLessThan(13_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4 << 20);
    way.close();
    expect(way.bufferedOctets).toBe(0);
  });

  test('who waits for room is told when there is, and when the link closes', async () => {
    const { upstream, link: way } = link();
    upstream.open();
    expect(way.below(1000)).toBeUndefined();
    upstream.bufferedAmount = 2000;
    const room = way.below(1000);
    setTimeout(() => {
      upstream.bufferedAmount = 1000;
    }, 20);
    await room;
    upstream.bufferedAmount = 2000;
    const never = way.below(1000);
    way.close();
    await never;
  });

  test('audio is the event that JSON.stringify would make', () => {
    const { upstream, link: way } = link();
    upstream.open();
    way.append(Uint8Array.of(1, 2, 3, 255));
    expect(upstream.texts).toEqual([
      JSON.stringify({ type: 'input_audio_buffer.append', audio: 'AQID/w==' }),
    ]);
    way.close();
  });
});
