import { describe, expect, it } from 'vitest';
import { AnswerAccount, MicrophoneAccount } from '../../chaos/samples.ts';
import { samplesFrom, valuesOf } from '../../simulation/calls/samples.ts';
import type { ModelItem, ModelResponse } from '../../simulation/calls/upstream.ts';

const TAG = 7;
const said = (from: number, count: number, tag = TAG) =>
  valuesOf(new Uint8Array(samplesFrom(from, count, tag).buffer));
const octets = (from: number, count: number, tag: number) =>
  new Uint8Array(samplesFrom(from, count, tag).buffer);
const turn = (from: number, to: number) => ({ heard: { from, to } }) as ModelItem;

function microphone(...pieces: readonly [upstream: number, from: number, count: number][]) {
  const account = new MicrophoneAccount(TAG);
  for (const [upstream, from, count] of pieces)
    account.audio(upstream, said(from, count), account.knows(upstream) ? undefined : from);
  const { lost, doubled } = account.findings;
  return { lost, doubled, account };
}

describe('the chaos run counts what upstreams hear', () => {
  it('a run without a gap, and one that a fresh upstream is given again, is right', () => {
    expect(microphone([1, 0, 960], [1, 960, 960], [2, 480, 2000])).toMatchObject({ lost: 0, doubled: 0 });
  });

  it('samples that are left out, or come twice, are counted', () => {
    expect(microphone([1, 0, 960], [1, 1200, 960])).toMatchObject({ lost: 240, doubled: 0 });
    expect(microphone([1, 0, 960], [1, 900, 960])).toMatchObject({ lost: 0, doubled: 60 });
    expect(microphone([1, 0, 960], [2, 1000, 960])).toMatchObject({ lost: 40, doubled: 0 });
  });

  it("another caller's audio is none of this call's", () => {
    const account = new MicrophoneAccount(TAG);
    account.audio(1, said(0, 960), 0);
    account.audio(1, said(960, 960, TAG + 1), undefined);
    // The first sample says its place alone, not whose it is.
    expect(account.findings.lost).toBe(959);
  });

  it('words that are in no turn of the last upstream, or in two, are counted', () => {
    const { account } = microphone([1, 0, 10_000]);
    account.words.push({ from: 1000, to: 2000 }, { from: 4000, to: 5000 }, { from: 8000, to: 9000 });
    account.checkWhole([turn(0, 1900), turn(3000, 6000), turn(4500, 6000)], { from: 6000, to: 10_000 });
    expect(account.findings).toMatchObject({ lost: 100, doubled: 500 });
    expect(account.findings.faults).toEqual([
      'words from sample 1000: 900 of 1000 samples',
      'words from sample 4000: 1500 of 1000 samples',
    ]);
  });
});

describe('and what pages hear', () => {
  const response = { id: 'r', itemId: 'i', tag: 3, sent: 2000, state: 'done' } as ModelResponse;
  const heard = (pieces: readonly [from: number, count: number][], complete: boolean, cut = false) => {
    const account = new AnswerAccount();
    account.begins(response);
    if (cut) account.cut(['r']);
    for (const [from, count] of pieces) account.audio('i', octets(from, count, 3));
    if (complete) account.ended('i', true);
    account.checkWhole([response]);
    const { lost, doubled } = account.findings;
    return { lost, doubled };
  };

  it('an answer that is whole, or that the caller cut off, is right', () => {
    expect(heard([[0, 2000]], true)).toEqual({ lost: 0, doubled: 0 });
    expect(heard([[0, 300]], false, true)).toEqual({ lost: 0, doubled: 0 });
  });

  it('a part that is left out, comes twice or never comes is counted', () => {
    expect(heard([[0, 1500]], false)).toEqual({ lost: 500, doubled: 0 });
    expect(heard([], false)).toEqual({ lost: 2000, doubled: 0 });
    const gap: [number, number][] = [
      [0, 1000],
      [1200, 800],
    ];
    expect(heard(gap, true).lost).toBeGreaterThanOrEqual(200);
    const twice: [number, number][] = [
      [0, 1000],
      [900, 1100],
    ];
    expect(heard(twice, true).doubled).toBeGreaterThanOrEqual(100);
  });
});
