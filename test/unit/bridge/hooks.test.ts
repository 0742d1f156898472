import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import type { Message } from '../../../proto/voice/index.ts';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { ANYONE } from '../../../server/access/index.ts';
import { HookFeed } from '../../../server/bridge/hook-feed.ts';
import { HookGuard } from '../../../server/bridge/index.ts';
import type { BackendHooks, HookedAudio, HookedEnd, Transcript } from '../../../server/index.ts';
import { checkpoints, HookedBackend, resumingHello } from '../../support/hooked-backend.ts';
import { until } from '../../support/realtime.ts';

const backends: HookedBackend[] = [];
afterEach(async () => {
  for (const backend of backends.splice(0)) await backend.close();
});

function backendWith(hooks: BackendHooks, config = {}): HookedBackend {
  const backend = new HookedBackend(hooks, config);
  backends.push(backend);
  return backend;
}

/** What each fault of a hook looks like: it throws, is rejected, hangs, answers with nonsense. */
const FAULTS = [
  [
    'threw',
    () => {
      throw new Error('a defect');
    },
  ],
  ['threw', () => Promise.reject(new Error('a defect'))],
  ['late', () => new Promise<never>(() => {})],
  ['nonsense', () => 42 as never],
] as const;

/** How a page is told: what threw or hangs may heal, a wrong answer comes again. */
const failure = (fault: string, what: string, whose: string) =>
  fault === 'nonsense'
    ? {
        closeCode: SessionCloseCode.WRONG_HOOK_ANSWER,
        reason: `The call ${what}: the backend's own code for ${whose} gave a wrong answer. The backend's log says which.`,
      }
    : {
        closeCode: SessionCloseCode.INTERNAL,
        reason: `The call ${what}: the backend's own code for ${whose} failed. Calling again may help.`,
      };

const tick = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('authenticate', () => {
  test('is given the request, and what it knows of the caller reaches the other hooks', async () => {
    const requests: unknown[] = [];
    const seen: unknown[] = [];
    const backend = backendWith({
      authenticate: ({ url, address, origin, token, resumes }) => {
        requests.push({ url, address, origin, token, resumes });
        return { subject: 'anna', data: { plan: 'gold' } };
      },
      session: (caller: { subject: string; data: { plan: string } }) => {
        seen.push(caller);
        return { instructions: `She has ${caller.data.plan}.` };
      },
    } satisfies BackendHooks<{ plan: string }> as unknown as BackendHooks);
    const { page } = await backend.open(undefined, { token: 'abc' });
    await until(() => page.find('parley.ready') !== undefined, 'the call');
    expect(requests).toEqual([
      { url: '/voice?token=abc', address: '127.0.0.1', origin: undefined, token: 'abc', resumes: false },
    ]);
    expect(seen).toEqual([
      { subject: 'anna', data: { plan: 'gold' }, maxCalls: undefined, minutesPerDay: undefined },
    ]);
    await until(() => backend.socket.events.length > 0, 'the session');
    expect(backend.socket.events[0]).toEqual({
      type: 'session.update',
      session: { type: 'realtime', instructions: 'She has gold.' },
    });
  });

  test('refuses with a sentence, and no upstream is opened', async () => {
    const backend = backendWith({ authenticate: async () => ({ refuse: 'Sign in first.' }) });
    const { page } = await backend.open();
    await until(() => page.closeInfo !== undefined, 'the refusal');
    expect(page.closeInfo).toEqual({ closeCode: SessionCloseCode.UNAUTHORIZED, reason: 'Sign in first.' });
    expect(backend.sockets).toEqual([]);
    expect(backend.failures).toEqual([]);
  });

  test('its limits count', async () => {
    const backend = backendWith({ authenticate: () => ({ subject: 'anna', maxCalls: 1 }) });
    await backend.call();
    await expect(backend.call()).rejects.toThrow('refused: You have as many calls as you may have at once');
  });

  test.each(FAULTS)(
    'that %s lets no one in, as a fault of the backend and no refusal, and is counted',
    async (fault, authenticate) => {
      const backend = backendWith({ authenticate });
      const { page } = await backend.open();
      await until(() => page.closeInfo !== undefined, 'the refusal');
      expect(page.closeInfo).toEqual(failure(fault, 'was not let in', 'callers'));
      expect(backend.failures).toEqual([`authenticate ${fault}`]);
    },
  );
});

describe('session', () => {
  test('is asked once for a call, and not when its page comes back or another backend goes on', async () => {
    let asked = 0;
    const session = async () => {
      asked += 1;
      return { instructions: `call ${asked}` };
    };
    const backend = backendWith({ session }, { session: { type: 'realtime', output_modalities: ['audio'] } });
    const page = await backend.call();
    const settings = { type: 'realtime', output_modalities: ['audio'], instructions: 'call 1' };
    expect(backend.socket.events).toEqual([{ type: 'session.update', session: settings }]);
    await checkpoints(page, 1);
    backend.socket.emit(
      { type: 'session.created', session: settings },
      { type: 'session.updated', session: settings },
    );
    await checkpoints(page, 2);
    const back = await backend.open(resumingHello(page), { resume: '' });
    await until(() => back.page.find('parley.ready') !== undefined, 'the page is back');
    expect(back.page.find('parley.ready')).toMatchObject({ call: { how: 'attached' } });
    const other = backendWith({ session });
    const restored = await other.open(resumingHello(page, 2), { resume: '' });
    await until(() => restored.page.find('parley.ready') !== undefined, 'the call goes on');
    expect(restored.page.find('parley.ready')).toMatchObject({ call: { how: 'restored' } });
    await until(() => other.socket.events.length > 0, 'its session');
    expect(other.socket.events[0]).toMatchObject({ session: { instructions: 'call 1' } });
    expect(asked).toBe(1);
  });

  test.each([
    ...FAULTS,
    ['nonsense', () => ({ audio: { input: { format: { type: 'audio/pcmu' } } } })] as const,
  ])('that %s ends its own call in words, and no other', async (fault, broken) => {
    let fails = false;
    const backend = backendWith({ session: () => (fails ? broken() : undefined) });
    const page = await backend.call();
    fails = true;
    const { page: other } = await backend.open();
    await until(() => other.closeInfo !== undefined, 'the refusal');
    const end = failure(fault, 'cannot begin', 'sessions');
    expect(other.closeInfo).toEqual(end);
    // "internal" says that doing the same again may help.
    const told = other.find('parley.error');
    if (fault === 'nonsense') expect(told).toBeUndefined();
    else expect(told).toMatchObject({ code: 'internal', message: end.reason, retry: true });
    expect(backend.failures).toEqual([`session ${fault}`]);
    await page.send({ type: 'response.create' });
    await until(() => backend.sockets[0]!.events.length === 1, 'the first call goes on');
  });
});

describe('tools, as a function of the caller,', () => {
  test.each([
    FAULTS[0],
    ['nonsense', () => 42 as never],
    ['nonsense', () => [{ name: 'no tool' }] as never],
  ] as const)('that %s ends its own call in words', async (fault, tools) => {
    const backend = backendWith({ tools, authenticate: () => ({ subject: 'anna' }) });
    const { page } = await backend.open();
    await until(() => page.closeInfo !== undefined, 'the end');
    expect(page.closeInfo).toEqual(failure(fault, 'cannot begin', 'tools'));
    expect(backend.failures).toEqual([`tools ${fault}`]);
    expect(backend.sockets).toEqual([]);
  });
});

describe('openUpstream', () => {
  test.each(FAULTS)(
    'that %s ends the call as an upstream that cannot be reached',
    async (fault, openUpstream) => {
      const backend = backendWith({ openUpstream });
      const { page } = await backend.open();
      await until(() => page.closeInfo !== undefined, 'the end');
      const reason = "The backend's own code for upstreams failed.";
      expect(page.closeInfo).toEqual({ closeCode: SessionCloseCode.UPSTREAM_UNREACHABLE, reason });
      expect(backend.failures).toEqual([`openUpstream ${fault}`]);
    },
  );

  test('a kind of upstream that only it can open is refused without it', () => {
    expect(() => backendWith({ openUpstream: undefined })).toThrow(
      'upstream: the kind "custom" needs the hook openUpstream.',
    );
  });

  test('events that no page can take are left out of what it sends', async () => {
    const backend = backendWith({});
    const page = await backend.call();
    backend.socket.emit(
      { type: 'parley.ready' },
      { type: 'response.created', response: { id: 5 } } as Message,
      { type: 'fine' },
    );
    await until(() => page.find('fine') !== undefined, 'the good one');
    expect(page.types().filter((type) => !/^parley\.(?:stats|checkpoint)$/.test(type))).toEqual([
      'parley.ready',
      'fine',
    ]);
  });
});

describe('onEvent', () => {
  test('may leave out or change events, in both directions', async () => {
    const backend = backendWith({
      onEvent: (event, from) => {
        if (event.type === 'response.cancel' || event.type === 'secret') return null;
        if (from === 'page' && event.type === 'response.create')
          return { ...event, response: { instructions: 'Be kind.' } };
        if (from === 'upstream' && event.type === 'error')
          return { type: 'error', error: { message: 'Sorry.' } };
        return undefined;
      },
    });
    const page = await backend.call();
    await page.send({ type: 'response.cancel' });
    await page.send({ type: 'response.create' });
    await page.send({ type: 'conversation.item.create' });
    await until(() => backend.socket.events.length === 2, 'two events');
    expect(backend.socket.events).toEqual([
      { type: 'response.create', response: { instructions: 'Be kind.' } },
      { type: 'conversation.item.create' },
    ]);
    backend.socket.emit(
      { type: 'secret' },
      { type: 'error', error: { message: 'secret' } },
      { type: 'last' },
    );
    await until(() => page.find('last') !== undefined, 'the last');
    expect(page.find('secret')).toBeUndefined();
    expect(page.find('error')).toEqual({ type: 'error', error: { message: 'Sorry.' } });
  });

  test.each([
    [
      'threw',
      () => {
        throw new Error('a defect');
      },
    ],
    ['nonsense', () => Promise.reject(new Error('a defect')) as never],
    ['nonsense', () => ({ kind: 'no event' }) as never],
  ] as const)(
    'that %s lets the event not pass, as it may be there to keep it back; the call goes on',
    async (fault, broken) => {
      const backend = backendWith({ onEvent: (event) => (event.type === 'odd' ? broken() : undefined) });
      const page = await backend.call();
      backend.socket.emit({ type: 'odd' }, { type: 'odd' }, { type: 'fine' });
      await until(() => page.find('fine') !== undefined, 'the good one');
      expect(page.find('odd')).toBeUndefined();
      expect(backend.failures).toEqual([`onEvent ${fault}`, `onEvent ${fault}`]);
      expect(backend.lines.filter((line) => line.includes('The hook onEvent failed'))).toHaveLength(1);
    },
  );
});

describe('what is told', () => {
  test('words of both sides as they grow, and all of them', async () => {
    const told: Transcript[] = [];
    const backend = backendWith({ onTranscript: (transcript) => told.push(transcript) });
    await backend.call();
    const model = { item_id: 'b', content_index: 0 };
    backend.socket.emit(
      {
        type: 'conversation.item.input_audio_transcription.completed',
        item_id: 'a',
        content_index: 0,
        transcript: 'Hello?',
      },
      { type: 'response.output_audio_transcript.delta', ...model, delta: 'Good ' },
      { type: 'response.output_audio_transcript.delta', ...model, delta: 'day' },
      { type: 'response.output_audio_transcript.done', ...model, transcript: 'Good day.' },
    );
    expect(told).toEqual([
      { role: 'caller', itemId: 'a', text: 'Hello?', final: true },
      { role: 'model', itemId: 'b', text: 'Good ', final: false },
      { role: 'model', itemId: 'b', text: 'Good day', final: false },
      { role: 'model', itemId: 'b', text: 'Good day.', final: true },
    ]);
  });

  test('audio of both sides, each sample once and with its place', async () => {
    const told: HookedAudio[] = [];
    const backend = backendWith({
      onAudio: (audio) => {
        told.push(audio);
        throw new Error('the disk is full');
      },
    });
    const page = await backend.call();
    await page.speak(0, 0, [new Uint8Array(4800).fill(1), new Uint8Array(4800).fill(2)]);
    const caller = () => told.filter(({ role }) => role === 'caller');
    await until(() => caller().reduce((sum, { pcm }) => sum + pcm.length, 0) === 9600, 'the caller');
    expect(caller()[0]).toMatchObject({ startSample: 0, itemId: undefined });
    expect(caller().at(-1)).toMatchObject({ startSample: 4800 - caller().at(-1)!.pcm.length / 2 });
    const place = { response_id: 'r', item_id: 'b', output_index: 0, content_index: 0 };
    const delta = (octets: number) => ({
      type: 'response.output_audio.delta',
      ...place,
      delta: Buffer.alloc(octets, 3).toString('base64'),
    });
    backend.socket.emit(delta(960), delta(480));
    expect(
      told
        .filter(({ role }) => role === 'model')
        .map(({ pcm, ...place }) => ({ octets: pcm.length, ...place })),
    ).toEqual([
      { octets: 960, role: 'model', startSample: 0, itemId: 'b', contentIndex: 0, responseId: 'r' },
      { octets: 480, role: 'model', startSample: 480, itemId: 'b', contentIndex: 0, responseId: 'r' },
    ]);
    expect(page.closeInfo).toBeUndefined();
    expect(new Set(backend.failures)).toEqual(new Set(['onAudio threw']));
  });

  test('audio that a fresh upstream is given again is not told again', () => {
    const told: [start: number, samples: number][] = [];
    const onAudio = ({ startSample, pcm }: HookedAudio) => told.push([startSample, pcm.length / 2]);
    const guard = new HookGuard(pino({ level: 'silent' }), undefined);
    const feed = new HookFeed({ onAudio }, { id: 'call', caller: ANYONE }, guard);
    feed.callerAudio(new Uint8Array(4800), 2400);
    feed.callerAudio(new Uint8Array(2400), 1200);
    feed.callerAudio(new Uint8Array(4800), 3600);
    expect(told).toEqual([
      [0, 2400],
      [2400, 1200],
    ]);
  });

  test('the end, once, with what the call cost', async () => {
    const told: HookedEnd[] = [];
    const backend = backendWith(
      {
        onEnd: async (end) => {
          told.push(end);
          throw new Error('the database is gone');
        },
      },
      { resumeSeconds: 0 },
    );
    const { page, client, served } = await backend.open();
    await until(() => page.find('parley.ready') !== undefined, 'the call');
    const usage = (tokens: number) => ({
      total_tokens: tokens,
      input_token_details: { audio_tokens: tokens - 1 },
    });
    backend.socket.emit(
      { type: 'response.done', response: { id: 'a', status: 'completed', usage: usage(10) } },
      { type: 'response.done', response: { id: 'b', status: 'completed', usage: usage(5) } },
      {
        type: 'conversation.item.input_audio_transcription.completed',
        item_id: 'c',
        transcript: 'Hello',
        usage: { type: 'duration', seconds: 2.5 },
      },
    );
    client.close();
    await served;
    await tick();
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      closeCode: 0,
      error: undefined,
      goesOn: false,
      microphoneSeconds: 0,
      usage: {
        responses: 2,
        tokens: { total_tokens: 15, input_token_details: { audio_tokens: 13 } },
        transcription: { seconds: 2.5 },
      },
    });
    expect(backend.failures).toEqual(['onEnd threw']);
  });

  test('nothing of the end of a page that went before its call began', async () => {
    const told: HookedEnd[] = [];
    const backend = backendWith({
      session: () => tick(40).then(() => undefined),
      onEnd: (end) => told.push(end),
    });
    const { client, served } = await backend.open();
    client.close();
    await served;
    await tick(60);
    expect(told).toEqual([]);
  });
});
