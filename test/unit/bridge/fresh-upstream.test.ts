import type { Logger } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MAX_CHECKPOINT_OCTETS, type Message } from '../../../proto/voice/index.ts';
import { MAX_RECORD_OCTETS } from '../../../proto/voice/resume/conversation-record.ts';
import { type Call, serveVoice } from '../../../server/bridge/index.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { firstResume } from '../../support/voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

const sealer = new Sealer(new Uint8Array(32).fill(5));

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'],
  });
});
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  vi.useRealTimers();
});

/** Until it holds: sealing takes turns of the real loop. */
async function soon(what: string, condition: () => boolean): Promise<void> {
  for (const end = process.hrtime.bigint() + 10_000_000_000n; !condition(); ) {
    if (process.hrtime.bigint() > end) throw new Error(`in vain: ${what}`);
    await new Promise<void>((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(0);
  }
}

function backend() {
  const lines: string[] = [];
  const quiet = () => undefined;
  const logger = {
    child: () => logger,
    info: (_: object, text: string) => lines.push(text),
    warn: quiet,
    error: (details: { err?: unknown }) => {
      throw details.err;
    },
  } as unknown as Logger;
  const upstreams: FakeUpstream[] = [];
  const calls = new CallTable<Call>();
  const call = async (hello: { readonly type: string } = HELLO) => {
    const { client, server } = memorySessionPair();
    if ('resume' in hello) server.request.query.set('resume', '1');
    const served = serveVoice(server, {
      backend: 'backend-1',
      serverId: '0001',
      upstreamKind: 'local',
      openUpstream: () => {
        const upstream = new FakeUpstream().open();
        upstreams.push(upstream);
        return upstream;
      },
      logger,
      resume: { calls, sealer },
    });
    ends.push(async () => {
      client.close();
      await served;
    });
    const page = await new VoicePage(client).start(hello);
    await soon('parley.ready', () => page.find('parley.ready') !== undefined);
    return page;
  };
  return { call, upstreams, lines };
}

const typed = (id: string, text = id) => ({
  id,
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
});
const speech = (type: string): Message => ({ type: `input_audio_buffer.speech_${type}`, audio_end_ms: 0 });
const given = (upstream: FakeUpstream | undefined, type: string) =>
  (upstream?.texts ?? []).map((text) => JSON.parse(text) as Message).filter((event) => event.type === type);

test('an upstream near its time limit is changed 60 s before it, in a pause and not while the caller speaks', async () => {
  const { call, upstreams, lines } = backend();
  const page = await call();
  const [first] = upstreams;
  const expires_at = Math.floor(Date.now() / 1000) + 600;
  first!.emit({ type: 'session.created', session: { id: 'sess_1', type: 'realtime', expires_at } });
  first!.emit({ type: 'conversation.item.added', item: typed('item_1') });
  await vi.advanceTimersByTimeAsync(538_000);
  expect(upstreams).toHaveLength(1);
  expect(lines).not.toContain('the upstream ends soon: a pause is looked for');
  first!.emit(speech('started'));
  await vi.advanceTimersByTimeAsync(3000);
  expect(lines).toContain('the upstream ends soon: a pause is looked for');
  await vi.advanceTimersByTimeAsync(20_000);
  expect(upstreams).toHaveLength(1);
  first!.emit(speech('stopped'));
  await vi.advanceTimersByTimeAsync(700);
  expect(upstreams).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(upstreams).toHaveLength(2);
  expect(first!.closed).toBe(true);
  expect(given(upstreams[1], 'conversation.item.create')).toMatchObject([{ item: { id: 'item_1' } }]);
  await soon('parley.rewind', () => page.find('parley.rewind') !== undefined);
  expect(page.closeInfo).toBeUndefined();
});

test('behind a rewind the page sends again what had no effect; what had one is not given twice', async () => {
  const { call, upstreams } = backend();
  const page = await call();
  const create = { type: 'response.create' };
  const item = { type: 'conversation.item.create', item: typed('typed') };
  await page.send(create);
  await page.send(item);
  await soon('both were given', () => given(upstreams[0], 'conversation.item.create').length === 1);
  upstreams[0]!.emit({ type: 'conversation.item.added', item: typed('typed') });
  upstreams[0]!.end({ code: 'upstream_closed', message: 'gone', closeCode: 1006 });
  await vi.advanceTimersByTimeAsync(500);
  await soon('parley.rewind', () => page.find('parley.rewind') !== undefined);
  expect(page.find('parley.rewind')).toMatchObject({ rewind: 1, events: 0, coveredEvents: [1] });
  // Sent before the page knew: not read.
  await page.send(create);
  await page.send({ type: 'parley.rewound', rewind: 1 } as { type: string });
  await page.send(create);
  await page.send({ type: 'parley.covered' });
  await soon('it is given again', () => given(upstreams[1], 'response.create').length > 0);
  await vi.advanceTimersByTimeAsync(1000);
  expect(given(upstreams[1], 'response.create')).toHaveLength(1);
  expect(given(upstreams[1], 'conversation.item.create')).toHaveLength(1);
});

test('of a conversation that is too long the oldest items are left out, and the page that is restored is told how many', async () => {
  const one = backend();
  const page = await one.call();
  const text = 'word '.repeat(800);
  const ITEMS = 100;
  for (let i = 0; i < ITEMS; i++)
    one.upstreams[0]!.emit({ type: 'conversation.item.done', item: typed(`item_${i}`, text) });
  await vi.advanceTimersByTimeAsync(1500);
  const newest = () => page.messages.filter(({ type }) => type === 'parley.checkpoint').at(-1);
  await soon('a long checkpoint', () => String(newest()?.sealed).length > MAX_RECORD_OCTETS / 4);
  const sealed = String(newest()!.sealed);
  expect(sealed.length).toBeLessThanOrEqual(MAX_CHECKPOINT_OCTETS);
  const { call } = page.find('parley.ready') as unknown as { call: { ticket: string } };
  const two = backend();
  const resume = firstResume(call.ticket, sealed);
  const restored = await two.call({ ...HELLO, resume } as typeof HELLO);
  const { omittedItems, how } = (
    restored.find('parley.ready') as unknown as { call: Record<string, unknown> }
  ).call;
  const items = given(two.upstreams[0], 'conversation.item.create').map(
    (event) => (event.item as { id: string }).id,
  );
  expect(how).toBe('restored');
  expect(omittedItems).toBeGreaterThan(0);
  expect(items).toEqual(Array.from({ length: items.length }, (_, i) => `item_${ITEMS - items.length + i}`));
  expect(omittedItems).toBe(ITEMS - items.length);
});

test('a call that is restored elsewhere outlives a first dial of its upstream that fails; a page has a checkpoint from the start', async () => {
  const one = backend();
  const page = await one.call();
  await soon('a checkpoint', () => page.find('parley.checkpoint') !== undefined);
  const { call } = page.find('parley.ready') as unknown as { call: { ticket: string } };
  const { sealed } = page.find('parley.checkpoint') as unknown as { sealed: string };
  const two = backend();
  const restored = await two.call({
    ...HELLO,
    resume: firstResume(call.ticket, sealed),
  } as typeof HELLO);
  two.upstreams[0]!.end({ code: 'upstream_unreachable', message: 'no answer', closeCode: undefined });
  await vi.advanceTimersByTimeAsync(500);
  expect(two.upstreams).toHaveLength(2);
  expect(restored.closeInfo).toBeUndefined();
});
