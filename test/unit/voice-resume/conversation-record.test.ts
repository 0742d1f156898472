import { describe, expect, it } from 'vitest';
import {
  ConversationRecord,
  MAX_RECORD_ITEMS,
  MAX_RECORD_OCTETS,
} from '../../../proto/voice/resume/conversation-record.ts';
import { MAX_GONE_ITEMS } from '../../../proto/voice/resume/messages.ts';

const SECOND = 24_000;

/** A conversation told by the events that a Realtime upstream sends. */
class Told {
  readonly record = new ConversationRecord();
  #previous: string | null = null;

  microphone(seconds: number): this {
    this.record.microphone(seconds * SECOND);
    return this;
  }

  page(number: number, event: { type: string; [field: string]: unknown }, samples?: number): this {
    this.record.pageEvent(number, event, samples);
    return this;
  }

  upstream(...events: { type: string; [field: string]: unknown }[]): this {
    for (const event of events) this.record.upstreamEvent(event);
    return this;
  }

  /** The caller's turn, up to `endMs` of the audio. */
  turn(id: string, endMs: number | undefined, transcript?: string): this {
    if (endMs !== undefined)
      this.upstream({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: endMs, item_id: id });
    const item = { id, type: 'message', role: 'user', content: [{ type: 'input_audio', transcript: null }] };
    this.upstream(
      { type: 'input_audio_buffer.committed', item_id: id, previous_item_id: this.#previous },
      { type: 'conversation.item.added', previous_item_id: this.#previous, item },
    );
    if (transcript !== undefined)
      this.upstream({
        type: 'conversation.item.input_audio_transcription.completed',
        item_id: id,
        content_index: 0,
        transcript,
      });
    this.#previous = id;
    return this;
  }

  responseBegins(response: string, id: string): this {
    const item = { id, type: 'message', role: 'assistant', content: [] };
    this.upstream(
      { type: 'response.created', response: { id: response } },
      { type: 'response.output_item.added', response_id: response, item },
      { type: 'conversation.item.added', previous_item_id: this.#previous, item },
    );
    this.record.answerAudio(id, 0, 4 * SECOND);
    this.#previous = id;
    return this;
  }

  responseEnds(response: string, id: string, transcript: string, status = 'completed'): this {
    const item = { id, type: 'message', role: 'assistant', content: [{ type: 'output_audio', transcript }] };
    return this.upstream(
      { type: 'response.output_audio_transcript.done', item_id: id, content_index: 0, transcript },
      { type: 'conversation.item.done', item },
      { type: 'response.done', response: { id: response, status, output: [item] } },
    );
  }
}

const text = (role: 'user' | 'assistant', id: string, words: string) => ({
  id,
  type: 'message',
  role,
  content: [{ type: role === 'user' ? 'input_text' : 'output_text', text: words }],
});

describe('ConversationRecord: what a fresh upstream is given', () => {
  it('a turn with its answer becomes two items of text, and its audio need not be said again', () => {
    const told = new Told().microphone(5).turn('item_1', 3000, 'Hello there.');
    told.responseBegins('resp_1', 'item_2').responseEnds('resp_1', 'item_2', 'Hello to you.');
    expect(told.record.snapshot()).toMatchObject({
      items: [text('user', 'item_1', 'Hello there.'), text('assistant', 'item_2', 'Hello to you.')],
      microphoneSamples: 3 * SECOND,
      omittedItems: 0,
    });
  });

  it('a turn whose response is not over is said again, and nothing behind it is an item yet', () => {
    const told = new Told().microphone(5).turn('item_1', 3000, 'Hello there.');
    told.responseBegins('resp_1', 'item_2');
    expect(told.record.snapshot()).toMatchObject({ items: [], microphoneSamples: 0 });
    told.responseEnds('resp_1', 'item_2', 'Hello.').microphone(9).turn('item_3', 8000, 'And more.');
    expect(told.record.snapshot()).toMatchObject({
      items: [{ id: 'item_1' }, { id: 'item_2' }],
      microphoneSamples: 3 * SECOND,
    });
  });

  it('a turn that is said again is named as gone, though an answer that stands behind it is an item', () => {
    const told = new Told().microphone(5).turn('item_1', 1000, 'Hello.');
    const said = {
      id: 'said',
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: 'Noted.' }],
    };
    // By hand: the second turn comes while the first is answered, and the page writes behind both.
    told
      .upstream({ type: 'response.created', response: { id: 'resp_1' } })
      .turn('item_2', undefined, 'More.');
    told.upstream({ type: 'conversation.item.added', previous_item_id: 'item_2', item: said });
    told.page(0, { type: 'conversation.item.create', item: { id: 'note' } });
    told.upstream({ type: 'conversation.item.added', item: { id: 'note', type: 'message', role: 'user' } });
    told.upstream({ type: 'response.done', response: { id: 'resp_1', output: [said] } });
    expect(told.record.snapshot()).toMatchObject({
      items: [{ id: 'item_1' }, { id: 'said' }],
      omittedItems: 0,
      goneItems: ['item_2', 'note'],
      pageEvents: 0,
    });
  });

  it('so is an answer that is not over', () => {
    const told = new Told().responseBegins('resp_1', 'item_1').microphone(5).turn('item_2', 3000, 'Stop!');
    expect(told.record.snapshot()).toMatchObject({ items: [], goneItems: ['item_1', 'item_2'] });
  });

  it('a response outside the conversation settles no turn', () => {
    const told = new Told().microphone(5).turn('item_1', 3000, 'Hello there.');
    const response = { id: 'resp_1', conversation_id: null, output: [] };
    told.upstream({ type: 'response.created', response }, { type: 'response.done', response });
    expect(told.record.snapshot()).toMatchObject({ items: [], microphoneSamples: 0 });
  });

  it('words that came without a transcript are left out, and that is counted', () => {
    const told = new Told().microphone(5).turn('item_1', 3000);
    told.responseBegins('resp_1', 'item_2').responseEnds('resp_1', 'item_2', 'Hello.');
    expect(told.record.snapshot()).toMatchObject({ items: [{ id: 'item_2' }], omittedItems: 1 });
  });

  it('an answer that was cut is restored up to what was heard, at the end of a word', () => {
    const told = new Told().microphone(5).turn('item_1', 3000, 'Count.');
    told.responseBegins('resp_1', 'item_2');
    told.responseEnds('resp_1', 'item_2', 'one two three four five six', 'cancelled');
    told.upstream({
      type: 'conversation.item.truncated',
      item_id: 'item_2',
      content_index: 0,
      audio_end_ms: 2000,
    });
    expect(told.record.snapshot().items[1]).toEqual(text('assistant', 'item_2', 'one two three'));
    told.upstream({
      type: 'conversation.item.truncated',
      item_id: 'item_2',
      content_index: 0,
      audio_end_ms: 0,
    });
    expect(told.record.snapshot()).toMatchObject({ items: [{ id: 'item_1' }], omittedItems: 1 });
  });

  it('function calls and their results are restored as they were, images too', () => {
    const told = new Told();
    const call = { id: 'fc_1', type: 'function_call', call_id: 'c', name: 'what_time', arguments: '{}' };
    const output = { id: 'fo_1', type: 'function_call_output', call_id: 'c', output: 'noon' };
    const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==' };
    told.upstream(
      { type: 'response.created', response: { id: 'resp_1' } },
      { type: 'response.output_item.added', response_id: 'resp_1', item: { ...call, arguments: '' } },
      { type: 'conversation.item.added', item: { ...call, arguments: '', status: 'in_progress' } },
      { type: 'conversation.item.done', item: { ...call, status: 'completed', object: 'realtime.item' } },
      { type: 'response.done', response: { id: 'resp_1', status: 'completed', output: [call] } },
    );
    told.page(0, { type: 'conversation.item.create', item: output });
    told.upstream({ type: 'conversation.item.added', previous_item_id: 'fc_1', item: output });
    told.upstream({
      type: 'conversation.item.added',
      previous_item_id: 'fo_1',
      item: { id: 'item_3', type: 'message', role: 'user', content: [image] },
    });
    expect(told.record.snapshot().items).toEqual([
      call,
      output,
      { id: 'item_3', type: 'message', role: 'user', content: [image] },
    ]);
    expect(told.record.snapshot().pageEvents).toBe(1);
  });

  it('keeps the order that the upstream says, and forgets what is deleted', () => {
    const told = new Told();
    const user = (id: string) => ({
      id,
      type: 'message',
      role: 'user',
      content: [{ type: 'input_text', text: id }],
    });
    told.upstream(
      { type: 'conversation.item.added', previous_item_id: null, item: user('a') },
      { type: 'conversation.item.added', previous_item_id: 'a', item: user('c') },
      { type: 'conversation.item.added', previous_item_id: 'a', item: user('b') },
      { type: 'conversation.item.added', previous_item_id: 'c', item: user('d') },
      { type: 'conversation.item.deleted', item_id: 'c' },
    );
    expect(told.record.snapshot().items.map(({ id }) => id)).toEqual(['a', 'b', 'd']);
  });

  it('settings of the session are kept as a session.update takes them', () => {
    const told = new Told().upstream({
      type: 'session.created',
      session: {
        type: 'realtime',
        id: 'sess_1',
        object: 'realtime.session',
        model: 'm',
        expires_at: 1,
        instructions: 'Be brief.',
        prompt: null,
      },
    });
    expect(told.record.snapshot().session).toEqual({ type: 'realtime', instructions: 'Be brief.' });
    told.page(0, { type: 'session.update', session: { type: 'realtime', tools: [] } });
    expect(told.record.snapshot()).toMatchObject({
      session: { instructions: 'Be brief.', tools: [] },
      pageEvents: 0,
    });
    told.upstream({
      type: 'session.updated',
      session: { type: 'realtime', tools: [], instructions: 'Be brief.' },
    });
    expect(told.record.snapshot().pageEvents).toBe(1);
  });
});

describe('ConversationRecord: which events of the page are given again', () => {
  it('response.create that names metadata counts with the response that has the same, and with no other', () => {
    const ask = { type: 'response.create', response: { metadata: { b: '2', a: '1' } } };
    const told = new Told().page(0, ask);
    // A turn that was found while another response was under way is answered behind it: nothing says that it is no page's doing.
    const other = { id: 'resp_turn', metadata: null };
    told.upstream({ type: 'response.created', response: other }, { type: 'response.done', response: other });
    expect(told.record.snapshot().pageEvents).toBe(0);
    const own = { id: 'resp_own', metadata: { a: '1', b: '2' } };
    told.upstream({ type: 'response.created', response: own });
    expect(told.record.snapshot().pageEvents).toBe(0);
    told.upstream({ type: 'response.done', response: own });
    expect(told.record.snapshot().pageEvents).toBe(1);
  });

  it('response.create counts once its response is over, so that it is never given twice nor lost', () => {
    const told = new Told().page(0, { type: 'response.create' });
    expect(told.record.snapshot().pageEvents).toBe(0);
    told.responseBegins('resp_1', 'item_1');
    expect(told.record.snapshot().pageEvents).toBe(0);
    told.responseEnds('resp_1', 'item_1', 'Well.');
    expect(told.record.snapshot().pageEvents).toBe(1);
  });

  it('a commit by hand is given again with its audio, and what follows it', () => {
    const told = new Told().microphone(2);
    told.page(0, { type: 'input_audio_buffer.commit' }, 2 * SECOND).page(1, { type: 'response.create' });
    told.microphone(4).turn('item_1', undefined, 'By hand.').responseBegins('resp_1', 'item_2');
    expect(told.record.snapshot()).toMatchObject({ items: [], microphoneSamples: 0, pageEvents: 0 });
    told.responseEnds('resp_1', 'item_2', 'Heard.');
    expect(told.record.snapshot()).toMatchObject({ microphoneSamples: 2 * SECOND, pageEvents: 2 });
  });

  it('names those that had their effect behind one that had none', () => {
    const told = new Told().page(0, { type: 'response.create' }).page(1, { type: 'response.cancel' });
    told.page(2, { type: 'session.update', session: {} }).upstream({ type: 'session.updated', session: {} });
    expect(told.record.snapshot()).toMatchObject({ pageEvents: 0, coveredPageEvents: [1, 2] });
  });

  it('audio that was cleared is not said again', () => {
    const told = new Told()
      .microphone(2)
      .page(0, { type: 'input_audio_buffer.clear' }, 2 * SECOND)
      .microphone(3);
    told.upstream({ type: 'input_audio_buffer.cleared' });
    expect(told.record.snapshot()).toMatchObject({ microphoneSamples: 2 * SECOND, pageEvents: 1 });
  });

  it('goes on from a snapshot: the fresh upstream counts its ms from the first sample it is given', () => {
    const told = new Told().microphone(5).turn('item_1', 3000, 'One.');
    told
      .responseBegins('resp_1', 'item_2')
      .responseEnds('resp_1', 'item_2', 'Two.')
      .page(0, { type: 'response.create' });
    const fresh = new Told();
    fresh.record.restore(told.record.snapshot());
    expect(fresh.record.snapshot()).toEqual(told.record.snapshot());
    fresh.microphone(9).turn('item_3', 4000, 'Three.');
    fresh.responseBegins('resp_2', 'item_4').responseEnds('resp_2', 'item_4', 'Four.');
    expect(fresh.record.snapshot()).toMatchObject({
      items: [{ id: 'item_1' }, { id: 'item_2' }, { id: 'item_3' }, { id: 'item_4' }],
      microphoneSamples: 7 * SECOND,
    });
  });
});

describe('ConversationRecord: bounds', () => {
  const user = (id: string, words: string) => ({
    type: 'conversation.item.added',
    item: { id, type: 'message', role: 'user', content: [{ type: 'input_text', text: words }] },
  });

  it('leaves the oldest items out beyond its bound of entries, and says how many', () => {
    const told = new Told();
    for (let i = 0; i < MAX_RECORD_ITEMS + 100; i++) told.upstream(user(`item_${i}`, 'x'));
    const { items, omittedItems } = told.record.snapshot();
    expect([items.length, omittedItems, items[0]?.id]).toEqual([MAX_RECORD_ITEMS, 100, 'item_100']);
  });

  it('names a bounded number of items as gone, the first of them, and no name that is none', () => {
    const told = new Told().microphone(5).turn('x'.repeat(300), 3000).turn('item', 4000);
    for (let i = 0; i < MAX_GONE_ITEMS + 50; i++) told.upstream(user(`item_${i}`, 'x'));
    const { goneItems } = told.record.snapshot();
    expect([goneItems.length, goneItems[0], goneItems[1]]).toEqual([MAX_GONE_ITEMS, 'item', 'item_0']);
  });

  it('and beyond its bound of octets', () => {
    const told = new Told();
    for (let i = 0; i < 100; i++) told.upstream(user(`item_${i}`, 'x'.repeat(10_000)));
    expect(told.record.octets).toBeLessThanOrEqual(MAX_RECORD_OCTETS);
    expect(told.record.snapshot().items.length).toBe(13);
  });

  it('never throws, and stays bounded, whatever an upstream sends', () => {
    const told = new Told();
    const odd = [
      undefined,
      null,
      7,
      '',
      'x',
      {},
      [],
      { id: '' },
      { id: 'a', content: [null, 7, {}] },
      Number.NaN,
    ];
    const types = [
      'conversation.item.added',
      'response.created',
      'response.done',
      'session.created',
      'input_audio_buffer.committed',
      'input_audio_buffer.speech_stopped',
      'conversation.item.truncated',
      'conversation.item.deleted',
      'response.output_audio_transcript.done',
      'input_audio_buffer.cleared',
    ];
    for (const type of types)
      for (const a of odd)
        for (const b of odd)
          told.upstream({
            type,
            item: a,
            item_id: b,
            response: a,
            response_id: b,
            session: a,
            transcript: b,
            audio_end_ms: b,
            content_index: a,
          });
    for (let i = 0; i < 5000; i++) {
      told.upstream({ type: 'response.created', response: { id: `r${i}` } });
      told.upstream({ type: 'input_audio_buffer.committed', item_id: `i${i}` });
      told.page(i * 7, { type: 'response.create' });
    }
    expect(told.record.size).toBeLessThanOrEqual(MAX_RECORD_ITEMS);
    expect(told.record.snapshot().coveredPageEvents.length).toBeLessThanOrEqual(256);
  });
});
