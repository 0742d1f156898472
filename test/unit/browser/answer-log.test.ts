import { describe, expect, it } from 'vitest';
import { AnswerLog, MAX_REMEMBERED_ANSWERS } from '../../../browser/answer-log.ts';
import type { AnswerHeader } from '../../../proto/voice/index.ts';

const header = (itemId: string): AnswerHeader => ({
  type: 'parley.answer',
  responseId: 'resp_1',
  itemId,
  contentIndex: 0,
  outputIndex: 0,
  codec: 'pcm16',
  rate: 24_000,
});
const played = (key: number, playedSamples: number) => ({
  key,
  playedSamples,
  playedHash: '',
  droppedSamples: 0,
  finished: false,
});

describe('the record of answers', () => {
  it('tells position in samples and in ms from what was really put out', () => {
    const log = new AnswerLog();
    const record = log.begin(header('item_1'));
    record.received(new Uint8Array(96_000));
    record.played(played(record.key, 24_012));
    expect(record.position).toEqual({
      itemId: 'item_1',
      contentIndex: 0,
      playedSamples: 24_012,
      playedMs: 1000.5,
    });
    expect(log.waitingSamples).toBe(48_000 - 24_012);
  });

  it('clears what is still to be heard, and leaves alone what was heard to its end', () => {
    const log = new AnswerLog();
    const first = log.begin(header('item_1'));
    first.received(new Uint8Array(200));
    first.played(played(first.key, 100));
    first.complete = true;
    const second = log.begin(header('item_2'));
    second.received(new Uint8Array(200));
    expect(log.clear()).toEqual([second]);
    expect(log.clear()).toEqual([]);
    expect(log.waitingSamples).toBe(0);
    expect(second.counters).toMatchObject({ receivedSamples: 100, droppedSamples: 100, cleared: true });
  });

  it('does not play an answer whose stream comes after its item was cleared', () => {
    const log = new AnswerLog();
    expect(log.clear('item_9')).toEqual([]);
    expect(log.begin(header('item_9')).cleared).toBe(true);
    expect(log.begin(header('item_10')).cleared).toBe(false);
  });

  it('forgets the oldest answers above its bound', () => {
    const log = new AnswerLog();
    for (let i = 0; i < MAX_REMEMBERED_ANSWERS + 3; i++) log.begin(header(`item_${i}`));
    expect(log.counters).toHaveLength(MAX_REMEMBERED_ANSWERS);
    expect(log.counters[0]?.itemId).toBe('item_3');
  });
});
