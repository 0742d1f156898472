import { expect, test } from 'vitest';
import { TranscriptList } from '../../../browser/transcript-list.ts';

const item = (id: string, role: string, before: string | null, content: unknown[] = []) => ({
  type: 'conversation.item.added',
  previous_item_id: before,
  item: { id, type: 'message', role, content },
});
const words = (list: TranscriptList) =>
  list.list.map(({ role, text, final }) => `${role}: ${text}${final ? '' : ' …'}`);

test('words grow, and stand where the conversation has them, although the caller’s come late', () => {
  const list = new TranscriptList();
  list.event(item('b', 'assistant', null));
  list.event({
    type: 'response.output_audio_transcript.delta',
    item_id: 'b',
    content_index: 0,
    delta: 'Good ',
  });
  list.event({
    type: 'response.output_audio_transcript.delta',
    item_id: 'b',
    content_index: 0,
    delta: 'day',
  });
  list.event(item('c', 'user', 'b', [{ type: 'input_text', text: 'And now?' }]));
  list.event(item('a', 'user', 'b'));
  expect(words(list)).toEqual(['model: Good day …', 'caller:  …', 'caller: And now?']);
  list.event({
    type: 'conversation.item.input_audio_transcription.completed',
    item_id: 'a',
    content_index: 0,
    transcript: 'Hello?',
  });
  list.event({
    type: 'response.output_audio_transcript.done',
    item_id: 'b',
    content_index: 0,
    transcript: 'Good day.',
  });
  expect(words(list)).toEqual(['model: Good day.', 'caller: Hello?', 'caller: And now?']);
});

test('a list is another one only when it has changed', () => {
  const list = new TranscriptList();
  const empty = list.list;
  expect(list.event({ type: 'response.created' })).toBe(false);
  expect(list.event({ type: 'conversation.item.added', item: { id: 'f', type: 'function_call' } })).toBe(
    false,
  );
  expect(list.list).toBe(empty);
  expect(list.event(item('a', 'user', null))).toBe(true);
  expect(list.event(item('a', 'user', null))).toBe(false);
  expect(list.event({ type: 'conversation.item.deleted', item_id: 'a' })).toBe(true);
  expect(list.list).toEqual([]);
});

test('what is kept is bounded', () => {
  const list = new TranscriptList();
  for (let i = 0; i < 1100; i++) list.event(item(`i${i}`, 'assistant', i === 0 ? null : `i${i - 1}`));
  expect(list.list).toHaveLength(1000);
  expect(list.list[0]!.itemId).toBe('i100');
});
