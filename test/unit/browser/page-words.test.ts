import { describe, expect, it } from 'vitest';
import { modelNews } from '../../../browser/page/model-news.ts';
import {
  OVERFLOW,
  outageText,
  overflowText,
  reconnectingText,
  resumedText,
  statusText,
} from '../../../browser/page/words.ts';

const done = (status: string, status_details?: object) =>
  modelNews({ type: 'response.done', response: { id: 'resp_1', status, status_details, output: [] } });

describe('what the page says of the speech model', () => {
  it('an error, in the words of the API, or by its code', () => {
    const error = { type: 'invalid_request_error', code: 'invalid_value', message: 'A sentence for people.' };
    expect(modelNews({ type: 'error', error })?.text).toBe(
      'The speech model reports an error: A sentence for people.',
    );
    expect(modelNews({ type: 'error', error: { code: 'invalid_value' } })?.text).toMatch(
      /: invalid_value\.$/,
    );
    expect(modelNews({ type: 'error', error: null })?.text).toMatch(/it gives no reason\.$/);
    expect(modelNews({ type: 'error', error: { message: 'x'.repeat(9000) } })!.text.length).toBeLessThan(400);
  });

  it('a response that failed, ended early or was cancelled; nothing of one that is complete', () => {
    expect(done('failed', { error: { code: 'insufficient_quota' } })).toEqual({
      tone: 'bad',
      text: 'The speech model could not answer: insufficient_quota.',
    });
    expect(done('incomplete', { reason: 'max_output_tokens' })?.text).toMatch(/longest length/);
    expect(done('incomplete', { reason: 'content_filter' })?.text).toMatch(/content filter/);
    expect(done('incomplete')?.text).toBe('The answer ended early.');
    expect(done('cancelled', { reason: 'turn_detected' })?.text).toBe('You spoke, and the answer stopped.');
    expect(done('cancelled', { reason: 'client_cancelled' })?.text).toBe('The answer was stopped.');
    expect(done('completed')).toBeUndefined();
    expect(modelNews({ type: 'response.done' })).toBeUndefined();
  });
});

describe('what the page says of the microphone', () => {
  it('is "Listening" only in the state of a live microphone, and says what is missing else', () => {
    const live = { state: 'live', reason: undefined } as const;
    const asking = { state: 'asking', reason: undefined } as const;
    expect(statusText('ready', live)).toMatch(/^Listening/);
    expect(statusText('connecting', live)).toMatch(/speak already/);
    expect(statusText('connecting', asking)).toMatch(/Waiting for the microphone/);
    expect(statusText('waiting', asking)).toMatch(/Waiting for the microphone/);
    expect(statusText('waiting', { state: 'muted-by-system', reason: 'track_muted' })).toMatch(
      /system has muted/,
    );
    expect(statusText('waiting', { state: 'muted-by-system', reason: 'audio_suspended' })).toMatch(/Click/);
    expect(statusText('waiting', { state: 'ended', reason: 'device_lost' })).toMatch(/Plug one in/);
  });

  it('an outage by steps, so that it is not read aloud each half second', () => {
    expect([3000, 4900, 5100, 9900, 12_000].map(outageText).map((text) => text.match(/\d+/)?.[0])).toEqual([
      '3',
      '3',
      '5',
      '5',
      '10',
    ]);
  });
});

describe('what the page says of an interrupted call', () => {
  it('what is kept, by steps of 5 s', () => {
    expect([0, 4900].map((keptMs) => reconnectingText(keptMs, false))).toEqual(
      Array(2).fill(expect.stringMatching(/^The connection is gone\. .*are kept\.$/)),
    );
    expect(reconnectingText(12_000, false)).toMatch(/10 s of your words are kept/);
    expect(reconnectingText(12_000, true)).toBe(
      'The server has shut down. 10 s of your words are kept, and it is called again every few seconds.',
    );
  });

  it('how it goes on: after how long, over what, and what is missing', () => {
    const resumed = { how: 'attached', carrier: 'webtransport', outageMs: 5200, omittedItems: 0 } as const;
    expect(resumedText(resumed)).toBe(
      'Back after 5.2 s. The call goes on where it stopped, and nothing was lost.',
    );
    expect(resumedText({ ...resumed, how: 'restored', carrier: 'tcp' })).toBe(
      'Back over TCP after 5.2 s. The speech model was told again what was said so far.',
    );
    expect(resumedText({ ...resumed, how: 'restored', omittedItems: 1 })).toMatch(
      /One turn could not be told/,
    );
    expect(resumedText({ ...resumed, how: 'restored', omittedItems: 3 })).toMatch(
      /3 turns could not be told/,
    );
  });

  it('a first sentence of what was lost that stays the same, so that it stands in the timeline once', () => {
    for (const lostMs of [1000, 9000])
      expect(overflowText({ keptMs: 120_000, lostMs }).startsWith(OVERFLOW)).toBe(true);
  });
});
