import { describe, expect, it } from 'vitest';
import { MAX_PAGE_ITEMS, PageItems } from '../../../proto/voice/resume/page-items.ts';

/** A caller's turn that was committed, and the answer to it; without `done` it is still being made. */
function turn(items: PageItems, name: string, done = true): void {
  const [you, answer] = [`you-${name}`, `answer-${name}`];
  items.take({ type: 'input_audio_buffer.speech_started', item_id: you });
  items.take({ type: 'input_audio_buffer.committed', item_id: you, previous_item_id: null });
  items.take({ type: 'conversation.item.added', item: { id: you } });
  items.take({ type: 'response.output_item.added', response_id: `r-${name}`, item: { id: answer } });
  items.take({ type: 'conversation.item.added', previous_item_id: you, item: { id: answer } });
  if (done) items.take({ type: 'response.done', response: { id: `r-${name}` } });
}

describe('items that a fresh upstream does not have', () => {
  it('are those behind the last one that it was given, and what is being said, each told once', () => {
    const items = new PageItems();
    turn(items, 'one');
    turn(items, 'two', false);
    items.take({ type: 'input_audio_buffer.speech_started', item_id: 'you-three' });
    expect(items.gone('answer-one')).toEqual(['you-two', 'answer-two', 'you-three']);
    expect(items.gone('answer-one')).toEqual([]);
    turn(items, 'two again');
    expect(items.gone('answer-two again')).toEqual([]);
  });

  it('an answer that broke off is gone, though what was written behind it is restored', () => {
    const items = new PageItems();
    turn(items, 'one', false);
    items.take({ type: 'conversation.item.added', previous_item_id: 'answer-one', item: { id: 'note' } });
    expect(items.gone('note')).toEqual(['answer-one']);
  });

  it('a turn stands where the upstream puts it, not where its speech began', () => {
    const items = new PageItems();
    items.take({ type: 'input_audio_buffer.speech_started', item_id: 'you-two' });
    turn(items, 'one');
    items.take({ type: 'input_audio_buffer.committed', item_id: 'you-two', previous_item_id: 'answer-one' });
    expect(items.gone('answer-one')).toEqual(['you-two']);
  });

  it('with an empty conversation all are gone; where the last item is not known, none', () => {
    const items = new PageItems();
    turn(items, 'one');
    expect(items.gone(undefined)).toEqual([]);
    expect(items.gone('never seen')).toEqual([]);
    expect(items.gone(null)).toEqual(['you-one', 'answer-one']);
  });

  it('are those that it says itself, too: a turn that is said again, before an answer that was restored', () => {
    const items = new PageItems();
    turn(items, 'one');
    turn(items, 'two');
    expect(items.gone('answer-two', ['you-two', 'you-two', 'never seen'])).toEqual(['you-two']);
    expect(items.gone('answer-two', ['you-two'])).toEqual([]);
    expect(items.gone(undefined, ['you-one'])).toEqual(['you-one']);
    expect(items.gone('never seen', ['answer-one'])).toEqual(['answer-one']);
    expect(items.gone(null)).toEqual(['answer-two']);
  });

  it('one that was deleted is not told again; names are bounded in number and length', () => {
    const items = new PageItems();
    items.take({ type: 'conversation.item.added', item: { id: 'x'.repeat(257) } });
    for (let n = 0; n < 2 * MAX_PAGE_ITEMS; n++)
      items.take({ type: 'conversation.item.added', item: { id: `item-${n}` } });
    items.take({ type: 'conversation.item.deleted', item_id: `item-${MAX_PAGE_ITEMS + 5}` });
    for (const odd of [null, undefined, 7, {}])
      items.take({ type: 'conversation.item.added', item: odd } as unknown as { type: string });
    expect(items.gone(null)).toHaveLength(MAX_PAGE_ITEMS - 1);
  });
});
