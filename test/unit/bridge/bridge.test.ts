import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import {
  AudioHash,
  encodeMessage,
  MAX_WAITING_STRETCHES,
  parseServerMessage,
  SessionCloseCode,
  StreamCode,
} from '../../../proto/voice/index.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import { type Admission, SubjectLimits } from '../../../server/access/index.ts';
import {
  type Call as BridgeCall,
  EarlyUpstreams,
  serveVoice,
  type VoiceContext,
} from '../../../server/bridge/index.ts';
import { CallTable, type Sealer } from '../../../server/call/index.ts';
import { StreamError } from '../../../server/webtransport/types.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

const logger = pino({ level: 'silent' });

function setUp(context: Partial<VoiceContext> = {}, upstream = new FakeUpstream()) {
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const state = { over: false };
  const served = serveVoice(server, {
    ...voiceContext(upstream),
    ...context,
  }).then(() => {
    state.over = true;
  });
  return { client, server, page, upstream, served, state };
}

type Call = ReturnType<typeof setUp>;
const calls: Call[] = [];

async function call(context: Partial<VoiceContext> = {}): Promise<Call> {
  const made = setUp(context);
  calls.push(made);
  made.upstream.open();
  await made.page.start();
  await until(() => made.page.find('parley.ready') !== undefined, 'parley.ready');
  return made;
}

const rejections: unknown[] = [];
process.on('unhandledRejection', (reason) => rejections.push(reason));

// Whatever a test did: the session ends, everything is let go, and nothing was left to fail on its own.
afterEach(async () => {
  for (const { client, served, upstream, server } of calls.splice(0)) {
    client.close();
    await served;
    expect(upstream.closed).toBe(true);
    expect(server.listeners).toBe(0);
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(rejections).toEqual([]);
});

/** Octets that differ from place to place, so that a lost or moved one is seen. */
function noise(octets: number, seed = 1): Uint8Array {
  let state = seed;
  return new Uint8Array(octets).map(() => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

const hash = (octets: Uint8Array) => new AudioHash().update(octets).digest();

describe('the beginning of a call', () => {
  test('ready is the first message, whatever the upstream said before', async () => {
    const { page, upstream } = await call();
    upstream.emit({ type: 'session.created', session: {} });
    await until(() => page.find('session.created') !== undefined, 'session.created');
    expect(page.messages[0]).toEqual({
      type: 'parley.ready',
      protocol: 2,
      sessionId: expect.any(String),
      serverId: '0001',
      backend: 'backend-1',
      upstream: 'local',
      codec: 'pcm16',
      rate: 24_000,
      call: {
        callId: expect.any(String),
        how: 'new',
        ticket: expect.any(String),
        resumeSeconds: expect.any(Number),
        microphoneSamples: 0,
        events: 0,
        coveredEvents: [],
        messages: 0,
      },
      handshakeMs: 12.5,
    });
    expect(parseServerMessage(page.messages[0]!)).toEqual(page.messages[0]);
  });

  test('what the page sends before the upstream is open waits and goes out in order', async () => {
    const made = setUp();
    calls.push(made);
    const { page, upstream } = made;
    await page.start();
    const audio = noise(9600);
    await page.send({ type: 'session.update' });
    await page.speak(0, 0, [audio]);
    await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
    await page.send({ type: 'response.create' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(upstream.sent).toEqual([]);
    upstream.open();
    expect(upstream.sent[0]?.type).toBe('session.update');
    await until(() => upstream.audio.length === 9600, 'the audio');
    expect(hash(upstream.audio)).toBe(hash(audio));
    expect(upstream.events.map((event) => event.type)).toEqual(['session.update', 'response.create']);
  });

  test('the configured session goes before everything that the page sends', async () => {
    const session = { type: 'realtime', instructions: 'Be brief.' };
    const made = setUp({ session });
    calls.push(made);
    await made.page.start();
    await made.page.send({ type: 'response.create' });
    await until(() => made.page.find('parley.ready') !== undefined, 'parley.ready');
    made.upstream.open();
    await until(() => made.upstream.sent.length === 2, 'both events');
    expect(made.upstream.sent).toEqual([{ type: 'session.update', session }, { type: 'response.create' }]);
  });

  test('the queue before the upstream is open is bounded, and passing the bound ends the call in words', async () => {
    const made = setUp({ limits: { maxUpstreamQueueOctets: 2000 } });
    calls.push(made);
    await made.page.start();
    const event = { type: 'conversation.item.create', text: 'x'.repeat(1500) };
    for (let i = 0; i < 4; i++) await made.page.send(event);
    await until(() => made.page.closeInfo !== undefined, 'the close');
    expect(made.page.closeInfo?.closeCode).toBe(SessionCloseCode.QUEUE_FULL);
    expect(made.page.find('parley.error')).toMatchObject({ code: 'queue_full', retry: true });
  });

  test('an upstream that cannot even be made closes the call as a fault of the backend', async () => {
    const { client, server } = memorySessionPair();
    const page = new VoicePage(client);
    const context = { backend: 'b', serverId: '00', upstreamKind: 'local', logger } as const;
    await serveVoice(server, {
      ...context,
      openUpstream: () => {
        throw new Error('no');
      },
    });
    await until(() => page.closeInfo !== undefined, 'the close');
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.INTERNAL);
    expect(page.closeInfo?.reason).not.toContain('no:');
  });

  test('no hello in time ends the call', async () => {
    const inVain: boolean[] = [];
    const earlyUpstreams = new EarlyUpstreams();
    const observer = { helloMissing: (dialled: boolean) => inVain.push(dialled) };
    const made = setUp({ limits: { helloTimeoutMs: 20 }, observer, earlyUpstreams });
    calls.push(made);
    expect(earlyUpstreams.count).toBe(1);
    await until(() => made.page.closeInfo !== undefined, 'the close');
    expect(made.page.closeInfo?.closeCode).toBe(SessionCloseCode.HELLO_TIMEOUT);
    // Its upstream is closed with it, and both are counted.
    expect(made.upstream.closed).toBe(true);
    expect([inVain, earlyUpstreams.count]).toEqual([[true], 0]);
  });

  test('a call that cannot be brought to its page gives its place among its caller’s back', async () => {
    const limits = new SubjectLimits();
    const anna = { subject: 'anna', maxCalls: 1, minutesPerDay: undefined };
    const callEntry = { open: true, enter: () => limits.admit(anna) as Admission };
    const sealer = { seal: () => Promise.reject(new Error('no key')) } as unknown as Sealer;
    const table = new CallTable<BridgeCall>();
    const made = setUp({ callEntry, resume: { calls: table, sealer } });
    calls.push(made);
    await made.page.start();
    await until(() => made.page.closeInfo !== undefined, 'the close');
    expect(made.page.closeInfo?.closeCode).toBe(SessionCloseCode.INTERNAL);
    expect([limits.reached(anna), table.size]).toEqual([undefined, 0]);
  });

  test('upstreams are dialled before the hello for so many of an address, and of all, and for no more', async () => {
    const refused: string[] = [];
    const earlyUpstreams = new EarlyUpstreams(2, 3);
    const observer = { notEarly: (why: string) => refused.push(why) };
    const dialled: string[] = [];
    const ask = (host: string) => {
      const { client, server } = memorySessionPair();
      Object.assign(server.request, { remoteAddress: { host, port: 1 } });
      const openUpstream = () => {
        dialled.push(host);
        return new FakeUpstream().open();
      };
      const context = { backend: 'b', serverId: '00', upstreamKind: 'local', logger } as const;
      const served = serveVoice(server, { ...context, openUpstream, earlyUpstreams, observer });
      return { client, page: new VoicePage(client), served };
    };
    const asked = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '2001:db8::1', '2001:db8::2'].map(ask);
    expect(dialled).toEqual(['192.0.2.1', '192.0.2.1', '2001:db8::1']);
    expect(refused).toEqual(['address', 'total']);
    // One that says hello has its upstream all the same, and one that goes gives its place back.
    await asked[2]!.page.start();
    await until(() => asked[2]!.page.find('parley.ready') !== undefined, 'parley.ready');
    expect(dialled).toHaveLength(4);
    await asked[0]!.page.start();
    await until(() => asked[0]!.page.find('parley.ready') !== undefined, 'parley.ready');
    expect(earlyUpstreams.count).toBe(2);
    for (const { client } of asked) client.close();
    await Promise.all(asked.map(({ served }) => served));
    expect(earlyUpstreams.count).toBe(0);
  });

  test.each([
    ['another first message', { type: 'response.create' }, SessionCloseCode.MALFORMED],
    ['another protocol', { ...HELLO, protocol: 1 }, SessionCloseCode.UNSUPPORTED],
    ['another codec', { ...HELLO, codecs: ['opus'] }, SessionCloseCode.UNSUPPORTED],
  ])('%s ends the call', async (_, first, code) => {
    const made = setUp();
    calls.push(made);
    await made.page.start(first);
    await until(() => made.page.closeInfo !== undefined, 'the close');
    expect(made.page.closeInfo?.closeCode).toBe(code);
    expect(made.page.closeInfo?.reason).not.toBe('');
  });
});

describe('control', () => {
  test('events pass both ways as they are, known or not; what is not allowed is refused in words', async () => {
    const { page, upstream } = await call();
    const event = { type: 'conversation.item.create', event_id: 'e', item: { deep: [1, { x: null }] } };
    await page.send(event);
    await page.send({ type: 'input_audio_buffer.append', audio: 'AAAA' } as { type: string });
    await page.send({ type: 'parley.unknown' });
    const unheard = { type: 'something.of.tomorrow', with: { everything: ['in', 'it'] } };
    upstream.emit(unheard);
    await until(() => page.messages.filter((m) => m.type === 'parley.error').length === 2, 'refusals');
    await until(() => page.find(unheard.type) !== undefined, 'the unknown event');
    expect(upstream.sent).toEqual([event]);
    expect(page.messages).toContainEqual(unheard);
    expect(page.find('parley.error')).toMatchObject({ code: 'event_refused', retry: false });
  });

  test('functions of the model pass through: the session with its tools, the call, its result', async () => {
    const { page, upstream } = await call();
    const tools = [{ type: 'function', name: 'what_time', parameters: { type: 'object', properties: {} } }];
    const configure = { type: 'session.update', session: { type: 'realtime', model: 'any', tools } };
    const item = { type: 'function_call_output', call_id: 'call_1', output: '{"time":"12:00"}' };
    const result = { type: 'conversation.item.create', item };
    const called = {
      type: 'response.function_call_arguments.done',
      event_id: 'event_1',
      response_id: 'resp_1',
      item_id: 'item_1',
      output_index: 0,
      call_id: 'call_1',
      name: 'what_time',
      arguments: '{}',
    };
    await page.send(configure);
    upstream.emit(called);
    await until(() => page.find(called.type) !== undefined, 'the call');
    await page.send(result);
    await page.send({ type: 'response.create' });
    await until(() => upstream.sent.length === 3, 'the events');
    expect(page.find(called.type)).toEqual(called);
    expect(upstream.sent).toEqual([configure, result, { type: 'response.create' }]);
  });

  test('an event of the upstream that is too long for the page is named and left out, and the call goes on', async () => {
    const { page, upstream } = await call();
    upstream.emit({ type: 'conversation.item.retrieved', audio: 'x'.repeat(8 << 20) });
    upstream.emit({ type: 'rate_limits.updated' });
    await until(() => page.find('rate_limits.updated') !== undefined, 'the next event');
    expect(page.find('conversation.item.retrieved')).toBeUndefined();
    expect(page.find('parley.error')).toMatchObject({
      code: 'event_too_large',
      message: expect.stringContaining('conversation.item.retrieved'),
    });
  });

  test('figures come each second and satisfy their schema', async () => {
    const { page } = await call();
    await until(() => page.find('parley.stats') !== undefined, 'parley.stats');
    expect(parseServerMessage(page.find('parley.stats')!)).toMatchObject({ rttMs: 21, minRttMs: 19 });
  });

  test('a change of address or forwarder is told once, though it is seen twice', async () => {
    const { page, server } = await call();
    const remote = { host: '10.0.0.2', port: 7 };
    const previous = { host: '10.0.0.1', port: 7 };
    server.changeNetwork({ type: 'path', remote, previous, validated: false });
    server.changeNetwork({ type: 'path', remote, previous, validated: true });
    server.changeNetwork({ type: 'forwarder', via: { host: '::1', port: 9 } });
    server.changeNetwork({ type: 'path', remote: previous, previous: remote, validated: true });
    await until(() => page.messages.filter((m) => m.type === 'parley.path_changed').length === 2, 'changes');
    expect(page.messages.filter((m) => m.type.endsWith('_changed'))).toEqual([
      { type: 'parley.path_changed', address: '10.0.0.2:7', changes: 1 },
      { type: 'parley.forwarder_changed', forwarder: '[::1]:9', changes: 1 },
      { type: 'parley.path_changed', address: '10.0.0.1:7', changes: 2 },
    ]);
  });

  test('draining is told and the call goes on', async () => {
    const draining = new AbortController();
    const { page, server, upstream } = await call({ draining: draining.signal });
    draining.abort();
    await until(() => page.find('parley.draining') !== undefined, 'parley.draining');
    expect(server.drained).toBe(1);
    await page.send({ type: 'response.create' });
    await until(() => upstream.sent.length === 1, 'the event');
  });

  test('a second bidirectional stream is refused and harms nothing', async () => {
    const { client, page, upstream } = await call();
    const second = await client.createBidirectionalStream();
    await expect(second.readable.getReader().read()).rejects.toMatchObject({
      streamErrorCode: StreamCode.UNEXPECTED,
    });
    await page.send({ type: 'response.create' });
    await until(() => upstream.sent.length === 1, 'the event');
  });

  test('a message of random octets ends the call with a code and a sentence', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        fc.boolean(),
        async (octets, greeted) => {
          const made = setUp();
          await made.page.start(greeted ? HELLO : null);
          const framed = concat([encodeVarint(octets.length), octets]);
          await made.page.sendRaw(framed);
          await until(() => made.page.closeInfo !== undefined, 'the close');
          expect(made.page.closeInfo?.closeCode).toBe(SessionCloseCode.MALFORMED);
          await made.served;
          expect(made.upstream.closed).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('the microphone', () => {
  test('every sample of every stretch arrives once and in order, however streams and chunks are cut', async () => {
    const plan = fc.array(fc.array(fc.nat(3000), { maxLength: 6 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(plan, fc.boolean(), async (stretches, backwards) => {
        const made = await call();
        const spoken: Uint8Array[] = [];
        let first = 0;
        const jobs = stretches.map((sizes, n) => {
          const length = sizes.reduce((sum, size) => sum + size, 0);
          const audio = noise(length + (length % 2), n + 1);
          let at = 0;
          const chunks = sizes.map((size) => {
            at += size;
            return audio.subarray(at - size, at);
          });
          chunks.push(audio.subarray(at));
          const begin = first;
          first += audio.length / 2;
          spoken.push(audio);
          return () => made.page.speak(n, begin, chunks);
        });
        if (backwards) jobs.reverse();
        await Promise.all(jobs.map((job) => job()));
        const all = concat(spoken);
        await until(() => made.upstream.audio.length >= all.length, 'all of the audio');
        expect(hash(made.upstream.audio)).toBe(hash(all));
      }),
      { numRuns: 25 },
    );
  });

  test('audio is passed on in runs of 20 to 100 ms, the rest of a stretch at its end', async () => {
    const { page, upstream } = await call();
    const tiny = Array.from({ length: 500 }, (_, i) => noise(48, i)); // 1 ms each
    await page.speak(0, 0, [...tiny, noise(30_000), noise(10)]);
    await until(() => upstream.audio.length === 500 * 48 + 30_010, 'the audio');
    const sizes = upstream.sent.map(
      (event) => Buffer.from((event as { audio: string }).audio, 'base64').length,
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4800);
    expect(sizes.filter((size) => size < 960)).toHaveLength(1);
  });

  test('a slow upstream stops the reading, the page is told, and nothing is lost', async () => {
    const { page, upstream, client } = await call();
    upstream.bufferedAmount = 1 << 20;
    const writer = (await page.microphone(0, 0)).getWriter();
    const audio = noise(400_000);
    let written = 0;
    const speaking = (async () => {
      for (let at = 0; at < audio.length; at += 4000) {
        await writer.write(audio.subarray(at, at + 4000));
        await writer.ready;
        written = at + 4000;
      }
      await writer.close();
    })();
    await until(() => page.find('parley.behind') !== undefined, 'parley.behind');
    expect(page.find('parley.behind')?.bufferedMs).toBeGreaterThan(10_000);
    expect(written).toBeLessThan(100_000); // the page is stopped by the stream's own window
    upstream.bufferedAmount = 0;
    await speaking;
    await until(() => upstream.audio.length === audio.length, 'the audio');
    expect(hash(upstream.audio)).toBe(hash(audio));
    await until(
      () => page.messages.some((m) => m.type === 'parley.behind' && m.bufferedMs === 0),
      'caught up',
    );
    expect(client.listeners).toBe(0);
  });

  test('half a sample, a gap, a doubled stretch, a reset or a broken header each end the call', async () => {
    const faults: [string, number, (page: VoicePage) => Promise<unknown>][] = [
      ['half a sample', SessionCloseCode.MICROPHONE_BROKEN, (page) => page.speak(0, 0, [noise(961)])],
      ['a gap', SessionCloseCode.MICROPHONE_BROKEN, (page) => page.speak(0, 5, [noise(10)])],
      [
        'a doubled stretch',
        SessionCloseCode.MALFORMED,
        async (page) => {
          await page.microphone(1, 0);
          await page.microphone(1, 0);
        },
      ],
      [
        'a reset',
        SessionCloseCode.MICROPHONE_BROKEN,
        async (page) => (await page.microphone(0, 0)).abort(new StreamError(0, 'gone')),
      ],
      [
        'a broken header',
        SessionCloseCode.MALFORMED,
        async (page) => {
          const writer = (await page.session.createUnidirectionalStream()).getWriter();
          await writer.write(encodeMessage({ type: 'parley.answer' }));
        },
      ],
      [
        'an end within the header',
        SessionCloseCode.MALFORMED,
        async (page) => (await page.session.createUnidirectionalStream()).close(),
      ],
      [
        'too many streams',
        SessionCloseCode.TOO_MANY_STREAMS,
        async (page) => {
          for (let i = 0; i < MAX_WAITING_STRETCHES + 2; i++) await page.session.createUnidirectionalStream();
        },
      ],
    ];
    for (const [what, code, commit] of faults) {
      const { page } = await call();
      await commit(page).catch(() => {});
      await until(() => page.closeInfo !== undefined, `the close after ${what}`);
      expect(page.closeInfo, what).toMatchObject({ closeCode: code });
      expect(page.find('parley.error'), what).toMatchObject({ code: 'malformed', retry: false });
    }
  });

  test('words on their way when the page hangs up still arrive', async () => {
    const { page, upstream, state } = await call();
    const writer = (await page.microphone(0, 0)).getWriter();
    await page.endControl();
    await writer.write(noise(5000));
    await writer.close();
    await until(() => state.over, 'the end');
    expect(upstream.audio.length).toBe(5000);
    expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.NORMAL);
  });
});
