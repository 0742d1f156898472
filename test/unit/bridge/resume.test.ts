import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { AudioHash, type Message, SessionCloseCode } from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { type Call, serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import { until } from '../../support/realtime.ts';
import { ResumingPage } from '../../support/resuming-page.ts';
import { FakeUpstream } from '../../support/voice-page.ts';

const logger = pino({ level: 'silent' });
const SECRET = new Uint8Array(32).fill(7);

function noise(octets: number, seed: number): Uint8Array {
  let state = seed;
  return new Uint8Array(octets).map(() => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

const hash = (octets: Uint8Array) => new AudioHash().update(octets).digest();
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Refusal {
  readonly what: string;
  readonly why: string;
}

/** One backend, with upstreams that the test plays. */
class TestBackend {
  readonly calls = new CallTable<Call>({ resumeSeconds: 30 });
  readonly upstreams: FakeUpstream[] = [];
  readonly refusals: Refusal[] = [];
  readonly carried: string[] = [];
  readonly context: VoiceContext;

  constructor(secret = SECRET, more: Partial<VoiceContext> = {}) {
    this.context = {
      backend: 'b',
      serverId: '00',
      upstreamKind: 'local',
      openUpstream: () => {
        const upstream = new FakeUpstream();
        this.upstreams.push(upstream);
        setTimeout(() => upstream.open(), 1);
        return upstream;
      },
      logger,
      resume: { calls: this.calls, sealer: new Sealer(secret) },
      observer: {
        resumeRefused: (what, why) => void this.refusals.push({ what, why }),
        callCarried: (how) => void this.carried.push(how),
      },
      ...more,
    };
    backends.push(this);
  }

  /** The upstream of the call that is not closed. */
  get upstream(): FakeUpstream {
    return this.upstreams.findLast(({ closed }) => !closed)!;
  }

  readonly serve = (session: Parameters<typeof serveVoice>[0]) => serveVoice(session, this.context);
}

const backends: TestBackend[] = [];
const pages: ResumingPage[] = [];

async function begin(backend = new TestBackend()) {
  const page = new ResumingPage();
  pages.push(page);
  expect(await page.dial(backend.serve)).toBe(true);
  return { backend, page };
}

const rejections: unknown[] = [];
process.on('unhandledRejection', (reason) => rejections.push(reason));

afterEach(async () => {
  for (const page of pages.splice(0)) page.session?.close();
  await later(20);
  for (const { calls, upstreams } of backends.splice(0)) {
    calls.close();
    expect(calls.size).toBe(0);
    expect(upstreams.every(({ closed }) => closed)).toBe(true);
  }
  expect(rejections).toEqual([]);
});

const created = (n: number): Message => ({ type: 'conversation.item.create', n });

/** Speech of one turn, heard and answered: it is settled then. */
function answerTurn(upstream: FakeUpstream, name: string, end?: number): void {
  if (end !== undefined) upstream.emit({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: end });
  upstream.emit({ type: 'input_audio_buffer.committed', item_id: `u_${name}` });
  upstream.emit({
    type: 'conversation.item.input_audio_transcription.completed',
    item_id: `u_${name}`,
    content_index: 0,
    transcript: `words of ${name}`,
  });
  upstream.emit({ type: 'response.created', response: { id: `r_${name}` } });
  const item = {
    id: `a_${name}`,
    type: 'message',
    role: 'assistant',
    content: [{ type: 'output_text', text: `answer to ${name}` }],
  };
  upstream.emit({ type: 'response.output_item.done', response_id: `r_${name}`, item });
  upstream.emit({ type: 'response.done', response: { id: `r_${name}`, output: [item] } });
}

type Step = { readonly say: number } | { readonly wait: number } | string;

/** What both sides of a call do, and what must have come of it. */
class Talk {
  readonly #backend: TestBackend;
  readonly #page: ResumingPage;
  readonly #upstream: FakeUpstream;
  readonly #said: Uint8Array[] = [];
  readonly #answered: Uint8Array[] = [];
  #events = 0;
  #messages = 0;

  constructor(backend: TestBackend, page: ResumingPage) {
    this.#backend = backend;
    this.#page = page;
    this.#upstream = backend.upstream;
  }

  async step(action: Step): Promise<void> {
    if (typeof action !== 'string') {
      if ('wait' in action) {
        await later(action.wait);
        return;
      }
      const octets = noise(action.say * 2, this.#said.length);
      this.#said.push(octets);
      this.#page.say(octets);
      return;
    }
    if (action === 'event') this.#page.send(created(this.#events++));
    else if (action === 'message') this.#upstream.emit({ type: 'x.event', n: this.#messages++ });
    else if (action === 'report') this.#page.report();
    else if (action === 'answer') {
      this.#answered.push(noise(5000, this.#answered.length));
      this.#upstream.delta('item', this.#answered.at(-1)!);
    } else {
      // A cut that the backend knows of, or a session that it takes for alive still.
      if (action === 'cut') this.#page.cut();
      const ready = await this.#page.dial(this.#backend.serve);
      expect(ready, JSON.stringify(this.#page.closes)).toBe(true);
    }
  }

  async finish(): Promise<void> {
    const [page, upstream] = [this.#page, this.#upstream];
    const { length: answers } = this.#answered;
    if (answers > 0) upstream.done('item');
    page.call.microphone.end();
    const all = concat(this.#said);
    const own = () => page.messages.filter(({ type }) => type === 'x.event');
    await until(() => upstream.audio.length >= all.length, 'the audio');
    await until(() => upstream.events.length >= this.#events, 'the events');
    await until(() => own().length >= this.#messages, 'the messages');
    await until(() => answers === 0 || page.ended.has('item'), 'the answer');
    expect(hash(upstream.audio)).toBe(hash(all));
    expect(upstream.events).toEqual(Array.from({ length: this.#events }, (_, n) => created(n)));
    expect(own().map(({ n }) => n)).toEqual(Array.from({ length: this.#messages }, (_, n) => n));
    expect(hash(concat(page.heard.get('item') ?? []))).toBe(hash(concat(this.#answered)));
  }
}

describe('a session that is lost', () => {
  test('at any instant: every sample, event, message and answer comes once and in order', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ say: fc.integer({ min: 1, max: 4000 }) }) },
      { weight: 2, arbitrary: fc.constantFrom('event', 'message', 'answer', 'report') },
      { weight: 2, arbitrary: fc.record({ wait: fc.integer({ min: 0, max: 4 }) }) },
      { weight: 1, arbitrary: fc.constantFrom('cut', 'race') },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { backend, page } = await begin();
        await until(() => backend.upstream.isOpen, 'the upstream');
        const talk = new Talk(backend, page);
        for (const action of steps) await talk.step(action);
        await talk.finish();
        expect(backend.upstreams.filter(({ closed }) => !closed)).toHaveLength(1);
        page.session?.close();
        await until(() => backend.calls.size === 0, 'the end');
      }),
      { numRuns: 25, examples: [[['race']], [['race', 'race', 'cut', 'race']]] },
    );
  }, 60_000);

  test('a page that ends the call does not leave it waiting', async () => {
    const { backend, page } = await begin();
    page.session?.close();
    await until(() => backend.calls.size === 0, 'the end');
    expect(backend.upstreams.every(({ closed }) => closed)).toBe(true);
  });

  test('while no session is there the upstream is read on, and the page gets it all at once', async () => {
    const { backend, page } = await begin();
    const { upstream } = backend;
    page.cut();
    await until(() => backend.calls.waiting === 1, 'the wait');
    upstream.emit({ type: 'x.event', n: 1 });
    upstream.delta('item', noise(50_000, 1));
    upstream.done('item');
    expect(upstream.paused).toBe(false);
    expect(await page.dial(backend.serve)).toBe(true);
    await until(() => page.ended.has('item'), 'the answer');
    expect(hash(concat(page.heard.get('item')!))).toBe(hash(noise(50_000, 1)));
    expect(page.messages.filter(({ type }) => type === 'x.event')).toHaveLength(1);
    expect(backend.carried).toEqual(['new', 'attached']);
  });

  test('a second tab with the same ticket takes the call, and the first is told', async () => {
    const { backend, page } = await begin();
    const tab = new ResumingPage();
    pages.push(tab);
    const resume = page.call.resume()!;
    tab.call.attached({ ...page.ready!, ticket: resume.ticket });
    expect(await tab.dial(backend.serve, resume)).toBe(true);
    await until(() => page.closes.length === 1, 'the close');
    expect(page.closes[0]?.closeCode).toBe(SessionCloseCode.ATTACHED_ELSEWHERE);
    // An older attempt that arrives late changes nothing.
    const late = new ResumingPage();
    late.call.attached({ ...page.ready!, ticket: resume.ticket });
    expect(await late.dial(backend.serve, resume)).toBe(false);
    expect(late.closes[0]?.closeCode).toBe(SessionCloseCode.ATTACHED_ELSEWHERE);
    expect(backend.refusals).toEqual([{ what: 'call', why: 'superseded' }]);
    expect(tab.closes).toEqual([]);
  });
});

describe('tickets', () => {
  test.each([
    ['forged', 'xxxx', SECRET, '', 'forged'],
    ['of another cluster', undefined, new Uint8Array(32).fill(8), '', 'forged'],
    ['of another caller', undefined, SECRET, 'someone else', 'foreign'],
  ])('one that is %s is refused in words, and counted', async (_, ticket, secret, subject, why) => {
    const { page } = await begin();
    const other = new TestBackend(secret, {
      caller: { subject, maxCalls: undefined, minutesPerDay: undefined },
    });
    page.cut();
    expect(await page.dial(other.serve, ticket === undefined ? {} : { ticket })).toBe(false);
    expect(page.closes[0]).toMatchObject({ closeCode: SessionCloseCode.CALL_LOST });
    expect(page.closes[0]?.reason).toContain('ticket');
    expect(other.refusals).toEqual([{ what: 'ticket', why }]);
  });

  test('one whose call is not here, without a checkpoint, is refused', async () => {
    const { page } = await begin();
    const other = new TestBackend();
    page.cut();
    expect(await page.dial(other.serve, { checkpoint: undefined })).toBe(false);
    expect(other.refusals).toEqual([{ what: 'call', why: 'unknown' }]);
  });

  test('a checkpoint of another call of the same caller is not taken', async () => {
    const first = await begin();
    const second = await begin();
    answerTurn(second.backend.upstream, 'one');
    const sealed = () => second.page.signals.find(({ type }) => type === 'parley.checkpoint')?.sealed;
    await until(() => sealed() !== undefined, 'the checkpoint');
    const other = new TestBackend();
    first.page.cut();
    expect(await first.page.dial(other.serve, { checkpoint: sealed() })).toBe(false);
    expect(other.refusals).toEqual([{ what: 'checkpoint', why: 'foreign' }]);
  });
});

const checkpoints = (page: ResumingPage) => page.signals.filter(({ type }) => type === 'parley.checkpoint');

describe('another backend', () => {
  test('restores settings and items, hears the sentence being said whole, and the page sees nothing twice', async () => {
    const session = { type: 'realtime', instructions: 'Be brief.' };
    const { backend, page } = await begin(new TestBackend(SECRET, { session }));
    await until(() => backend.upstream.isOpen, 'the upstream');
    page.say(noise(48_000, 1));
    await until(() => backend.upstream.audio.length > 46_000, 'the first turn');
    answerTurn(backend.upstream, 'one', 900);
    await until(() => checkpoints(page).length > 0, 'the checkpoint');
    await later(1100); // the next may come
    const settled = Number(checkpoints(page).at(-1)!.microphoneSamples);
    expect(settled).toBe(21_600);
    page.say(noise(9600, 2));
    page.send(created(1));
    page.call.microphone.end();
    await later(20);
    page.cut();
    const other = new TestBackend(SECRET, { session });
    expect(await page.dial(other.serve)).toBe(true);
    expect(page.ready).toMatchObject({ how: 'restored', microphoneSamples: settled });
    const rest = concat([noise(48_000, 1), noise(9600, 2)]).subarray(settled * 2);
    await until(() => other.upstream.audio.length >= rest.length, 'the sentence');
    expect(hash(other.upstream.audio)).toBe(hash(rest));
    const events = other.upstream.events as unknown as Message[];
    expect(events.map(({ type }) => type)).toEqual([
      'session.update',
      ...Array.from({ length: 3 }, () => 'conversation.item.create'),
    ]);
    expect(events[1]).toMatchObject({
      item: { id: 'u_one', role: 'user', content: [{ text: 'words of one' }] },
    });
    expect(events[2]).toMatchObject({ item: { id: 'a_one', content: [{ text: 'answer to one' }] } });
    expect(events[3]).toEqual(created(1));
    other.upstream.emit({ type: 'session.created', session: {} });
    other.upstream.emit({ type: 'session.updated', session: {} });
    other.upstream.emit({ type: 'conversation.item.added', item: { id: 'u_one' } });
    other.upstream.emit({ type: 'conversation.item.done', item: { id: 'u_one' } });
    const before = page.messages.length;
    other.upstream.emit({ type: 'x.event' });
    await until(() => page.messages.length > before, 'the next event');
    expect(page.messages.slice(before)).toEqual([{ type: 'x.event' }]);
    // The backend that had it is asked with a ticket of the other: it lets its own go.
    page.cut();
    await until(() => backend.calls.waiting === 1, 'the first waits still');
    expect(await page.dial(backend.serve)).toBe(true);
    expect(page.ready?.how).toBe('restored');
  }, 20_000);
});

describe('an upstream that ends', () => {
  const END = { code: 'upstream_closed', message: 'It broke.', closeCode: 1006 } as const;

  test.each([true, false])(
    'in mid-sentence (page attached: %s): a fresh one hears it all',
    async (attached) => {
      const { backend, page } = await begin();
      await until(() => backend.upstream.isOpen, 'the upstream');
      page.say(noise(48_000, 1));
      await until(() => backend.upstream.audio.length > 46_000, 'the first turn');
      answerTurn(backend.upstream, 'one', 900);
      page.send(created(7));
      page.say(noise(9600, 2));
      await until(() => backend.upstream.audio.length > 50_000, 'half a sentence');
      if (!attached) {
        page.cut();
        await until(() => backend.calls.waiting === 1, 'the wait');
      }
      backend.upstream.end(END);
      page.say(noise(3000, 3));
      if (!attached) expect(await page.dial(backend.serve)).toBe(true);
      await until(() => (backend.upstream as FakeUpstream | undefined)?.isOpen === true, 'another upstream');
      const rest = concat([noise(48_000, 1), noise(9600, 2), noise(3000, 3)]).subarray(43_200);
      await until(() => backend.upstream.audio.length >= rest.length - 3000, 'the sentence');
      page.call.microphone.end();
      await until(() => backend.upstream.audio.length >= rest.length, 'its end');
      expect(hash(backend.upstream.audio)).toBe(hash(rest));
      const events = backend.upstream.events as unknown as Message[];
      expect(events.filter(({ n }) => n === 7)).toHaveLength(1);
      expect(events.filter(({ item }) => (item as { id?: string })?.id === 'a_one')).toHaveLength(1);
      expect(page.signals.filter(({ type }) => type === 'parley.rewind')).toHaveLength(attached ? 1 : 0);
      // Which items there are now is told in its place among the events, to a page that had no session then too.
      expect(page.messages.filter(({ type }) => type === 'parley.conversation')).toEqual([
        { type: 'parley.conversation', omittedItems: 0, lastItem: 'a_one' },
      ]);
    },
    20_000,
  );

  test('in mid-answer: what was begun ends where the next answer begins', async () => {
    const { backend, page } = await begin();
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.emit({ type: 'response.created', response: { id: 'resp_1' } });
    backend.upstream.delta('item_1', noise(4800, 1));
    await until(() => page.heard.has('item_1'), 'the answer');
    backend.upstream.end(END);
    await until(() => (backend.upstream as FakeUpstream | undefined)?.isOpen === true, 'another upstream');
    expect(page.messages.filter(({ type }) => type === 'parley.playback.clear')).toEqual([]);
    backend.upstream.delta('item_2', noise(4800, 2), 'resp_2');
    await until(() => page.heard.has('item_2'), 'the next answer');
    const clears = page.messages.filter(({ type }) => type === 'parley.playback.clear');
    expect(clears).toEqual([{ type: 'parley.playback.clear', responseIds: ['resp_1'] }]);
  });

  test('and refuses for good: the call ends at once with its own reason', async () => {
    const { backend, page } = await begin();
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.end({ code: 'upstream_refused', message: 'No quota.', closeCode: 4003 });
    await until(() => page.closes.length === 1, 'the close');
    expect(page.closes[0]).toEqual({ closeCode: SessionCloseCode.UPSTREAM_REFUSED, reason: 'No quota.' });
  });
});

describe('a drain', () => {
  test('asks the page to take the call elsewhere in a pause, behind a fresh checkpoint', async () => {
    const draining = new AbortController();
    const { backend, page } = await begin(new TestBackend(SECRET, { draining: draining.signal }));
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.emit({ type: 'input_audio_buffer.speech_started' });
    draining.abort();
    await later(1300);
    expect(page.signals.some(({ type }) => type === 'parley.move')).toBe(false);
    backend.upstream.emit({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 10 });
    await until(() => page.signals.some(({ type }) => type === 'parley.move'), 'the move', 3000);
    const types = page.signals.map(({ type }) => type);
    expect(types.indexOf('parley.checkpoint')).toBeLessThan(types.indexOf('parley.move'));
    expect(types).toContain('parley.checkpoint');
  });

  test.each(['opens', 'fails'])(
    'is over for the page once the upstream of the next backend %s: the old one hears the caller until then',
    async (how) => {
      const { backend, page } = await begin();
      await until(() => checkpoints(page).length > 0, 'the checkpoint');
      const upstreams: FakeUpstream[] = [];
      const openUpstream = () => {
        const upstream = new FakeUpstream();
        upstreams.push(upstream);
        if (upstreams.length > 1) upstream.open();
        return upstream;
      };
      const other = new TestBackend(SECRET, { openUpstream });
      const moved = page.dial(other.serve, { move: true });
      await until(() => upstreams.length === 1, 'the dial');
      await later(50);
      expect(page.ready).toBeUndefined();
      expect(other.carried).toEqual([]);
      if (how === 'opens') upstreams[0]!.open();
      else upstreams[0]!.end({ code: 'upstream_unreachable', message: 'no answer', closeCode: undefined });
      expect(await moved).toBe(true);
      expect(page.ready?.how).toBe('restored');
      page.say(noise(9600, 3));
      // One that failed is dialled again, with what was said.
      await until(() => (upstreams.at(-1)?.audio.length ?? 0) >= 9600, 'the words');
      expect(upstreams).toHaveLength(how === 'opens' ? 1 : 2);
      expect(backend.calls.size).toBe(1);
    },
  );

  const asked = (page: ResumingPage) => page.signals.some(({ type }) => type === 'parley.move');

  test('while audio of an answer is on its way to the page is no pause', async () => {
    const draining = new AbortController();
    const { backend, page } = await begin(new TestBackend(SECRET, { draining: draining.signal }));
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.delta('a_1', noise(4800, 1));
    draining.abort();
    await later(1300);
    expect(asked(page)).toBe(false);
    backend.upstream.done('a_1');
    await until(() => asked(page), 'the move', 3000);
    expect(page.ended).toContain('a_1');
  });

  test('delivers an answer that is complete for as long as there is time: nothing would make it again', async () => {
    const draining = new AbortController();
    const { backend, page } = await begin(
      new TestBackend(SECRET, { draining: draining.signal, drainMs: 2000 }),
    );
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.delta('a_1', noise(4800, 1));
    draining.abort();
    await later(1300);
    expect(asked(page)).toBe(false);
    await until(() => asked(page), 'the move', 700);
  });

  test('waits for a pause for half of the time that there is, then asks without one', async () => {
    const draining = new AbortController();
    const { backend, page } = await begin(
      new TestBackend(SECRET, { draining: draining.signal, drainMs: 2000 }),
    );
    await until(() => backend.upstream.isOpen, 'the upstream');
    backend.upstream.emit({ type: 'input_audio_buffer.speech_started' });
    draining.abort();
    await later(700);
    expect(asked(page)).toBe(false);
    await until(() => asked(page), 'the move', 800);
  });
});

describe('an answer of another backend that is heard still', () => {
  test('is cleared when the caller speaks over it', async () => {
    const { backend, page } = await begin();
    answerTurn(backend.upstream, 'one');
    await until(() => checkpoints(page).length > 0, 'the checkpoint');
    page.cut();
    const other = new TestBackend();
    expect(await page.dial(other.serve, { unheard: ['r_one'] })).toBe(true);
    await until(() => other.upstream.isOpen, 'the upstream');
    other.upstream.emit({ type: 'input_audio_buffer.speech_started' });
    await until(() => page.messages.some(({ type }) => type === 'parley.playback.clear'), 'the clear');
    expect(page.messages.find(({ type }) => type === 'parley.playback.clear')).toMatchObject({
      responseIds: ['r_one'],
    });
    other.upstream.emit({ type: 'input_audio_buffer.speech_started' });
    await later(50);
    expect(page.messages.filter(({ type }) => type === 'parley.playback.clear')).toHaveLength(1);
  });
});
