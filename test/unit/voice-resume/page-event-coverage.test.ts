import { describe, expect, it } from 'vitest';
import { MicrophoneMachine } from '../../../proto/voice/index.ts';
import { ConversationRecord } from '../../../proto/voice/resume/index.ts';

const item = (id: string, more: object = {}) => ({
  id,
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text: id }],
  ...more,
});
const create = (id: string, more: object = {}) => ({
  type: 'conversation.item.create',
  item: item(id, more),
});
const added = (id: string, more: object = {}) => ({ type: 'conversation.item.added', item: item(id, more) });
const began = (id: string) => ({ type: 'response.created', response: { id } });
const done = (id: string) => ({ type: 'response.done', response: { id, status: 'completed', output: [] } });
const idsOf = (record: ConversationRecord) => record.snapshot().items.map(({ id }) => id);

/** What the simulator of calls found (test/simulation/calls). */
describe('events of the page whose effect a fresh upstream has', () => {
  it("a tool's result is one: it is not given twice", () => {
    const record = new ConversationRecord();
    const output = { type: 'function_call_output', call_id: 'c', output: 'sunny' };
    record.pageEvent(0, create('output_1', output));
    record.upstreamEvent(added('output_1', output));
    expect(record.snapshot()).toMatchObject({ pageEvents: 1, items: [{ id: 'output_1' }] });
  });

  it('an item that the page says the model said is one, also while a response runs', () => {
    const record = new ConversationRecord();
    record.upstreamEvent(began('resp_1'));
    record.pageEvent(0, create('said', { role: 'assistant' }));
    record.upstreamEvent(added('said', { role: 'assistant' }));
    expect(record.snapshot()).toMatchObject({ pageEvents: 1, items: [{ id: 'said' }] });
  });

  it('an item behind a turn that is said again is given again, behind that turn', () => {
    const record = new ConversationRecord();
    record.microphone(24_000);
    record.upstreamEvent({ type: 'input_audio_buffer.committed', item_id: 'turn' });
    record.pageEvent(0, create('typed'));
    record.upstreamEvent(added('typed'));
    expect(idsOf(record)).toEqual([]);
    expect(record.snapshot()).toMatchObject({ microphoneSamples: 0, pageEvents: 0, coveredPageEvents: [] });
    record.upstreamEvent(began('resp_1'));
    record.upstreamEvent(done('resp_1'));
    expect(record.snapshot()).toMatchObject({ microphoneSamples: 24_000, pageEvents: 1 });
    expect(idsOf(record)).toEqual(['typed']);
  });

  it('an answer that was begun before such a turn stays', () => {
    const record = new ConversationRecord();
    record.pageEvent(0, { type: 'response.create' });
    record.upstreamEvent(began('resp_1'));
    record.microphone(24_000);
    record.upstreamEvent({ type: 'input_audio_buffer.committed', item_id: 'turn' });
    const answer = { role: 'assistant', content: [{ type: 'output_text', text: 'Oslo.' }] };
    record.upstreamEvent({
      type: 'response.output_item.added',
      response_id: 'resp_1',
      item: item('a', answer),
    });
    record.upstreamEvent(done('resp_1'));
    expect(record.snapshot()).toMatchObject({ pageEvents: 1, items: [{ id: 'a' }], microphoneSamples: 0 });
  });

  it('a response to a turn that the upstream found by itself is not taken for the one that the page asked for', () => {
    const record = new ConversationRecord();
    record.microphone(48_000);
    record.pageEvent(0, { type: 'response.create' });
    record.upstreamEvent({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 900 });
    record.upstreamEvent({ type: 'input_audio_buffer.committed', item_id: 'turn' });
    record.upstreamEvent(began('resp_1'));
    record.upstreamEvent(done('resp_1'));
    expect(record.snapshot().pageEvents).toBe(0);
    record.upstreamEvent(began('resp_2'));
    record.upstreamEvent(done('resp_2'));
    expect(record.snapshot().pageEvents).toBe(1);
  });

  it('but where the session says that turns are not answered, it is', () => {
    const record = new ConversationRecord();
    const audio = { input: { turn_detection: { type: 'server_vad', create_response: false } } };
    record.upstreamEvent({ type: 'session.created', session: { type: 'realtime', audio } });
    record.microphone(48_000);
    record.pageEvent(0, { type: 'response.create' });
    record.upstreamEvent({ type: 'input_audio_buffer.speech_stopped', audio_end_ms: 900 });
    record.upstreamEvent({ type: 'input_audio_buffer.committed', item_id: 'turn' });
    record.upstreamEvent(began('resp_1'));
    record.upstreamEvent(done('resp_1'));
    expect(record.snapshot().pageEvents).toBe(1);
  });

  it('one that the upstream refused is not given again', () => {
    const record = new ConversationRecord();
    record.pageEvent(0, { type: 'response.create', event_id: 'e1' });
    record.pageEvent(1, { type: 'response.create', event_id: 'e2' });
    record.upstreamEvent({ type: 'error', error: { event_id: 'e1', code: 'busy' } });
    expect(record.snapshot()).toMatchObject({ pageEvents: 1, coveredPageEvents: [] });
    record.upstreamEvent({ type: 'error', error: { code: 'without an ID' } });
    expect(record.snapshot().pageEvents).toBe(1);
  });

  it('items without IDs are matched in their order, those with one by it', () => {
    const record = new ConversationRecord();
    const { id: _, ...unnamed } = item('x');
    record.pageEvent(0, { type: 'conversation.item.create', item: unnamed });
    record.pageEvent(1, create('named'));
    record.upstreamEvent(added('named'));
    expect(record.snapshot()).toMatchObject({ pageEvents: 0, coveredPageEvents: [1] });
    record.upstreamEvent(added('item_made_by_the_service'));
    expect(record.snapshot().pageEvents).toBe(2);
  });
});

describe('a microphone stream that breaks off before its header', () => {
  it('is none of the call behind a rewind, which has the page give streams up; before, samples are lost', () => {
    const machine = new MicrophoneMachine();
    machine.open(0);
    expect(() => machine.reset(0, 'gone')).toThrow(/broke off/);
    machine.sendAgainFrom(0, 1);
    machine.open(1);
    expect(() => machine.reset(1, 'given up')).not.toThrow();
    expect(machine.knows(1)).toBe(false);
  });
});
