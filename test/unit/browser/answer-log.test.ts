import { describe, expect, it } from 'vitest';
import { AnswerLog, MAX_REMEMBERED_ANSWERS, MAX_REMEMBERED_CUTS } from '../../../browser/answer-log.ts';
import type { AnswerHeader } from '../../../proto/voice/index.ts';

const header = (itemId: string, responseId = 'resp_1'): AnswerHeader => ({
  type: 'parley.answer',
  responseId,
  itemId,
  contentIndex: 0,
  outputIndex: 0,
  answer: 0,
  firstSample: 0,
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

  it('cuts what is still to be heard of a response, in all its items, and leaves alone what was heard to its end', () => {
    const log = new AnswerLog();
    const first = log.begin(header('item_1'));
    first.received(new Uint8Array(200));
    first.played(played(first.key, 100));
    first.complete = true;
    const second = log.begin(header('item_2'));
    second.received(new Uint8Array(200));
    const other = log.begin(header('item_3', 'resp_2'));
    other.received(new Uint8Array(200));
    expect(log.unheardResponses).toEqual(['resp_1', 'resp_2']);
    expect(log.cutResponses(['resp_1'])).toEqual({ stopped: [second], known: [first, second] });
    expect(log.cutResponses(['resp_1'])).toEqual({ stopped: [], known: [first, second] });
    expect(log.unheardResponses).toEqual(['resp_2']);
    expect(log.waitingSamples).toBe(100);
    expect(second.counters).toMatchObject({ receivedSamples: 100, droppedSamples: 100, cleared: true });
    expect(first.counters).toMatchObject({ droppedSamples: 0, cleared: false });
  });

  it('plays nothing of a cut response that comes later, in whatever item, nor of a cut item', () => {
    const log = new AnswerLog();
    expect(log.cutResponses(['resp_9'])).toEqual({ stopped: [], known: [] });
    expect(log.cutItem('item_7')).toEqual({ stopped: [], known: [] });
    expect(log.begin(header('item_1', 'resp_9')).cleared).toBe(true);
    expect(log.begin(header('item_2', 'resp_9')).cleared).toBe(true);
    expect(log.begin(header('item_7', 'resp_8')).cleared).toBe(true);
    expect(log.begin(header('item_8', 'resp_8')).cleared).toBe(false);
  });

  it('remembers a bounded number of cuts, the newest', () => {
    const log = new AnswerLog();
    for (let i = 0; i < MAX_REMEMBERED_CUTS + 1; i++) log.cutResponses([`resp_${i}`]);
    expect(log.begin(header('item_1', 'resp_0')).cleared).toBe(false);
    expect(log.begin(header('item_2', 'resp_1')).cleared).toBe(true);
    expect(log.begin(header('item_3', `resp_${MAX_REMEMBERED_CUTS}`)).cleared).toBe(true);
  });

  it('forgets answers that are over before those that are still to be heard, which a cut must find', () => {
    const log = new AnswerLog();
    const waiting = log.begin(header('item_first'));
    waiting.received(new Uint8Array(200));
    const over = log.begin(header('item_over', 'resp_2'));
    log.cutItem('item_over');
    for (let i = 2; i < MAX_REMEMBERED_ANSWERS + 1; i++) log.begin(header(`item_${i}`));
    expect(log.get(over.key)).toBeUndefined();
    expect(log.cutResponses(['resp_1']).stopped[0]).toBe(waiting);
  });

  it('forgets the oldest answers above its bound', () => {
    const log = new AnswerLog();
    for (let i = 0; i < MAX_REMEMBERED_ANSWERS + 3; i++) log.begin(header(`item_${i}`));
    expect(log.counters).toHaveLength(MAX_REMEMBERED_ANSWERS);
    expect(log.counters[0]?.itemId).toBe('item_3');
  });
});
