import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Message, VoiceProtocolError } from '../../../proto/voice/index.ts';
import { BackendCall, whichItems } from '../../../proto/voice/resume/backend-call.ts';
import { type Attached, attachedSchema } from '../../../proto/voice/resume/messages.ts';
import { PageCall } from '../../../proto/voice/resume/page-call.ts';

/** A session that may be cut: three queues, as streams overtake each other and each keeps its own order. */
interface Wire {
  readonly toBackend: string[];
  readonly toPage: string[];
  readonly audio: { readonly first: number; readonly octets: Uint8Array }[];
}

const encode = (message: object) => new TextEncoder().encode(JSON.stringify(message));

/** A page and a backend, and the sessions between them: everything is delivered by hand. */
class Pair {
  readonly page = new PageCall();
  readonly backend = new BackendCall();
  /** What each side acted on. */
  readonly taken: number[] = [];
  readonly shown: number[] = [];
  readonly heard: number[] = [];
  spoken = 0;
  #sent = 0;
  #said = 0;
  #wire: Wire | undefined;
  #audioAt = 0;

  constructor() {
    this.page.microphone.begin(0, 0);
    this.#wire = { toBackend: [], toPage: [], audio: [] };
    this.page.attached(this.#ready({ how: 'new', microphoneSamples: 0, events: 0, messages: 0 }));
  }

  #ready(on: Pick<Attached, 'how' | 'microphoneSamples' | 'events' | 'messages'>): Attached {
    return { callId: 'c', ticket: 't', resumeSeconds: 60, coveredEvents: [], ...on };
  }

  /** The page sends an event. */
  event(): void {
    const message = { type: 'conversation.item.create', number: this.#sent++ };
    expect(this.page.send(message, 10)).toBe(true);
    this.#wire?.toBackend.push(JSON.stringify(message));
  }

  /** The backend sends one. */
  message(): void {
    const message = { type: 'response.created', number: this.#said++ };
    expect(this.backend.send(message, encode(message))).toBe(true);
    this.#wire?.toPage.push(JSON.stringify(message));
  }

  speak(samples: number): void {
    const octets = new Uint8Array(Int16Array.from({ length: samples }, (_, i) => this.spoken + i).buffer);
    this.spoken += samples;
    this.page.microphone.push(octets);
    this.#pump();
  }

  #pump(): void {
    if (this.#wire === undefined) return;
    for (const { number, firstSample } of this.page.microphone.stretchesFrom(this.#audioAt)) {
      for (let at = Math.max(firstSample, this.#audioAt); ; ) {
        const { octets } = this.page.microphone.read(number, at, 1000);
        if (octets.length === 0) break;
        this.#wire.audio.push({ first: at, octets });
        at += octets.length / 2;
        this.#audioAt = at;
      }
    }
  }

  deliver(which: 'toBackend' | 'toPage' | 'audio'): void {
    const wire = this.#wire;
    if (wire === undefined) return;
    if (which === 'audio') {
      const piece = wire.audio.shift();
      if (piece === undefined) return;
      expect(piece.first).toBe(this.heard.length);
      this.heard.push(...new Int16Array(piece.octets.slice().buffer));
      this.backend.microphone(this.heard.length);
      return;
    }
    const text = wire[which].shift();
    if (text === undefined) return;
    const message = JSON.parse(text);
    if (which === 'toBackend') {
      if (message.type === 'parley.received') this.backend.acknowledged(message.messages);
      else if (this.backend.take(message) !== undefined) this.taken.push(message.number);
    } else {
      this.page.received(message);
      if (message.type === 'parley.received') this.page.acknowledged(message);
      else this.shown.push(message.number);
    }
  }

  acknowledge(): void {
    const report = this.page.report();
    if (report !== undefined)
      this.#wire?.toBackend.push(JSON.stringify({ type: 'parley.received', ...report }));
    const received = { microphoneSamples: this.heard.length, events: this.backend.events };
    this.#wire?.toPage.push(JSON.stringify({ type: 'parley.received', ...received }));
  }

  /** What carries the call is gone, with all that was under way. */
  cut(): void {
    this.#wire = undefined;
  }

  attach(): void {
    const resume = this.page.resume();
    if (resume === undefined) throw new Error('not resumable');
    const on = this.backend.attach(resume);
    if (typeof on === 'string') throw new Error(on);
    this.#wire = { toBackend: [], toPage: [], audio: [] };
    for (const encoded of this.backend.unacknowledged())
      this.#wire.toPage.push(new TextDecoder().decode(encoded));
    const { events, microphoneSamples } = this.page.attached(this.#ready(on));
    for (const message of events) this.#wire.toBackend.push(JSON.stringify(message));
    this.#audioAt = microphoneSamples;
    this.#pump();
  }

  finish(): void {
    if (this.#wire === undefined) this.attach();
    while (this.#wire !== undefined && Object.values(this.#wire).some((queue: unknown[]) => queue.length > 0))
      for (const which of ['toBackend', 'toPage', 'audio'] as const) this.deliver(which);
  }
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('PageCall and BackendCall: exactly once, across sessions', () => {
  it('delivers every event, message and sample once and in order, wherever sessions are cut', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('event', 'message', 'acknowledge') },
      { weight: 5, arbitrary: fc.constantFrom('toBackend', 'toPage', 'audio') },
      { weight: 2, arbitrary: fc.record({ speak: fc.integer({ min: 1, max: 20 }) }) },
      { weight: 1, arbitrary: fc.constantFrom('cut', 'attach') },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pair = new Pair();
        let events = 0;
        let messages = 0;
        for (const action of steps) {
          if (typeof action === 'object') pair.speak(action.speak);
          else if (action === 'toBackend' || action === 'toPage' || action === 'audio') pair.deliver(action);
          else pair[action]();
          if (action === 'event') events++;
          if (action === 'message') messages++;
        }
        pair.finish();
        expect(pair.taken).toEqual(range(events));
        expect(pair.shown).toEqual(range(messages));
        expect(pair.heard).toEqual(range(pair.spoken));
      }),
      { numRuns: 500 },
    );
  });

  it('the newest attempt of a page wins, whichever arrives first', () => {
    const pair = new Pair();
    const older = pair.page.resume()!;
    const newer = pair.page.resume()!;
    expect(pair.backend.attach(newer)).toMatchObject({ how: 'attached' });
    expect(pair.backend.attach(older)).toBe('superseded');
    expect(pair.backend.attach(newer)).toBe('superseded');
  });

  it('refuses a page that took what was never sent, or forgot what is needed', () => {
    const pair = new Pair();
    const resume = pair.page.resume()!;
    expect(pair.backend.attach({ ...resume, messages: 1 })).toBe('gap');
    expect(pair.backend.attach({ ...resume, events: 1 })).toBe('gap');
    expect(pair.backend.attach({ ...resume, microphoneSamples: 1 })).toBe('gap');
    expect(() => pair.backend.acknowledged(1)).toThrow(VoiceProtocolError);
    expect(() => pair.page.acknowledged({ microphoneSamples: 0, events: 1 })).toThrow(VoiceProtocolError);
    expect(() => pair.page.checkpoint({ sealed: 'x', microphoneSamples: 0, events: 1 })).toThrow(
      VoiceProtocolError,
    );
  });
});

describe('a fresh upstream', () => {
  const snapshot = { session: undefined, items: [], omittedItems: 0, goneItems: [] };

  it('is given again what the old one had no effect of, and nothing that was sent before the rewind', () => {
    const { page, backend } = new Pair();
    page.microphone.push(new Uint8Array(2000));
    const events = ['session.update', 'response.create', 'response.cancel', 'conversation.item.create'];
    for (const type of events) page.send({ type }, 1);
    for (const type of events.slice(0, 3)) backend.take({ type });
    backend.microphone(1000);
    const rewind = backend.rewound({
      ...snapshot,
      microphoneSamples: 400,
      pageEvents: 1,
      coveredPageEvents: [2],
    });
    expect(backend.take({ type: 'conversation.item.create' })).toBeUndefined();
    const again = page.rewound(rewind);
    expect(again.microphoneSamples).toBe(400);
    backend.pageRewound(page.rewind - 1);
    expect(backend.take({ type: 'late' })).toBeUndefined();
    backend.pageRewound(page.rewind);
    expect(again.events.map((message) => backend.take(message))).toEqual([1, undefined, 3]);
    expect(backend.events).toBe(4);
  });

  it('on another backend goes on from a checkpoint, and refuses one that is older than what the page kept', () => {
    const { page } = new Pair();
    page.microphone.push(new Uint8Array(2000));
    for (let i = 0; i < 5; i++) page.send({ type: 'x' }, 1);
    page.checkpoint({ sealed: 's', microphoneSamples: 300, events: 2 });
    page.answerBegins(4);
    page.answerReceived(4, 100);
    const resume = page.resume()!;
    expect(resume).toMatchObject({ checkpoint: 's', microphoneSamples: 300, events: 2, nextAnswer: 5 });
    const other = new BackendCall();
    const stale = { ...snapshot, microphoneSamples: 0, pageEvents: 1, coveredPageEvents: [] };
    expect(other.restored(resume, stale)).toBe('gap');
    const on = other.restored(resume, {
      ...snapshot,
      microphoneSamples: 300,
      pageEvents: 2,
      coveredPageEvents: [3],
    });
    if (typeof on === 'string') throw new Error(on);
    const from = page.attached({ callId: 'c', ticket: 't2', resumeSeconds: 60, ...on });
    expect(from.microphoneSamples).toBe(300);
    expect(from.events.map((message) => other.take(message))).toEqual([2, undefined, 4]);
    expect(page.answerBegins(4)).toBeUndefined();
  });
});

describe('an error', () => {
  it('counts on both sides, but for the one that a session is closed with, which counts on neither', () => {
    const { page, backend } = new Pair();
    const told = { type: 'parley.error', code: 'event_refused' };
    const messages: Message[] = [told, { ...told, last: true }, { ...told, last: false }];
    for (const message of messages) {
      backend.send(message, encode(message));
      page.received(message);
    }
    expect(page.report()?.messages).toBe(2);
    expect([...backend.unacknowledged()]).toHaveLength(2);
  });
});

describe('items that a fresh upstream was not given', () => {
  const snapshot = {
    session: undefined,
    items: [{ id: 'answer', type: 'message' }],
    omittedItems: 0,
    goneItems: ['turn'],
    microphoneSamples: 0,
    pageEvents: 0,
    coveredPageEvents: [],
  };

  it('are told to the page that goes on with it, and are none of its conversation any more', () => {
    const { page } = new Pair();
    for (const id of ['turn', 'answer', 'later'])
      page.received({ type: 'conversation.item.added', item: { id } });
    const on = new BackendCall().restored(page.resume()!, snapshot);
    if (typeof on === 'string') throw new Error(on);
    const attached = { callId: 'c', ticket: 't2', resumeSeconds: 60, ...on, ...whichItems(snapshot) };
    expect(attachedSchema(attached)).toBeUndefined();
    expect(page.attached(attached).goneItems).toEqual(['turn', 'later']);
    expect(page.itemsGone(whichItems(snapshot))).toEqual([]);
  });
});

describe('bounds of a page that is alone', () => {
  it('events beyond the bound are refused while the backend has none of them, and the oldest forgotten when it has', () => {
    const page = new PageCall({ maxEventOctets: 10 });
    page.attached({
      callId: 'c',
      ticket: 't',
      how: 'new',
      resumeSeconds: 60,
      microphoneSamples: 0,
      events: 0,
      coveredEvents: [],
      messages: 0,
    });
    for (let i = 0; i < 10; i++) expect(page.send({ type: 'x' }, 1)).toBe(true);
    expect(page.send({ type: 'x' }, 1)).toBe(false);
    page.acknowledged({ microphoneSamples: 0, events: 4 });
    for (let i = 0; i < 4; i++) expect(page.send({ type: 'x' }, 1)).toBe(true);
    expect(page.send({ type: 'x' }, 1)).toBe(false);
    expect(page.forgottenEvents).toBe(4);
  });

  it('a backend whose page takes nothing says when it can keep no more', () => {
    const backend = new BackendCall({ maxEntries: 3, maxOctets: 100 });
    const message = { type: 'response.created' };
    expect([1, 2, 3, 4].map(() => backend.send(message, encode(message)))).toEqual([true, true, true, false]);
    expect(backend.send({ type: 'parley.stats' }, encode(message))).toBe(true);
  });

  it('remembers a bounded number of answers', () => {
    const page = new PageCall();
    for (let i = 0; i < 10_000; i++) page.answerBegins(i);
    let reported = 0;
    for (let report = page.report(); report !== undefined; report = page.report())
      reported += report.answers.length;
    expect(reported).toBeLessThanOrEqual(256);
  });
});
