import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AnswerLedger,
  MAX_LEDGER_PARTS,
  MAX_LEDGER_RESPONSES,
  samplesToMs,
  type Truncation,
} from '../../../proto/voice/index.ts';

const heard = (playedSamples: number, cleared = true, itemId = 'a') =>
  ({
    type: 'parley.playback.position',
    itemId,
    contentIndex: 0,
    playedMs: samplesToMs(playedSamples),
    playedSamples,
    cleared,
  }) as const;

function ledger(sent: number, complete: boolean): AnswerLedger {
  const made = new AnswerLedger();
  made.begin({ responseId: 'r', itemId: 'a', contentIndex: 0 });
  made.arrived('a', 0, sent);
  made.sent('a', 0, sent);
  if (complete) made.complete('a', 0);
  return made;
}

describe('what was heard of an answer', () => {
  test('a cut truncates at what was played, in whole ms, once', () => {
    const answers = ledger(24_000, true);
    expect(answers.cut(answers.unheard())).toEqual(['r']);
    expect(answers.isCut('r')).toBe(true);
    expect(answers.position(heard(12_011))).toEqual({ itemId: 'a', contentIndex: 0, audioEndMs: 500 });
    expect(answers.position(heard(12_011))).toBeUndefined();
    expect(answers.cleared(['r'])).toEqual([]);
    expect(answers.unheard()).toEqual([]);
  });

  test('never says more than was sent, whatever the page claims', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(200_000), (sent, played) => {
        const cut = ledger(sent, false).position(heard(played));
        const most = Math.floor((Math.min(sent, played) * 1000) / 24_000);
        expect(cut?.audioEndMs).toBe(sent === 0 ? undefined : most);
      }),
    );
  });

  test('what was played to its end is not cut', () => {
    const answers = ledger(4800, true);
    expect(answers.position(heard(4800, false))).toBeUndefined();
    expect(answers.unheard()).toEqual([]);
    expect(answers.position(heard(4800))).toBeUndefined();
  });

  test('all that was sent was played, but more came and was thrown away: it is cut at what was sent', () => {
    const answers = ledger(4800, false);
    answers.cut(['r']);
    answers.arrived('a', 0, 2400);
    answers.complete('a', 0);
    expect(answers.position(heard(4800))?.audioEndMs).toBe(200);
  });

  test('an answer the page says nothing more of after a position is still cut by the next barge-in', () => {
    const answers = ledger(48_000, true);
    expect(answers.position(heard(12_000, false))).toBeUndefined();
    expect(answers.unheard()).toEqual(['r']);
    expect(answers.position(heard(11_000))?.audioEndMs).toBe(500);
  });

  test('unknown items are nothing to truncate; parts and responses are bounded, the oldest go first', () => {
    const answers = new AnswerLedger();
    expect(answers.position(heard(1))).toBeUndefined();
    for (let i = 0; i < MAX_LEDGER_PARTS + 10; i++)
      answers.begin({ responseId: 'r', itemId: `item_${i}`, contentIndex: 0 });
    expect(answers.size).toBe(MAX_LEDGER_PARTS);
    answers.cut(Array.from({ length: MAX_LEDGER_RESPONSES + 10 }, (_, i) => `resp_${i}`));
    expect(answers.responses).toBe(MAX_LEDGER_RESPONSES);
    expect(answers.isCut(`resp_${MAX_LEDGER_RESPONSES + 9}`)).toBe(true);
  });
});

/** A ledger beside a plain account of what it was told, which checks everything that it says. */
class CheckedLedger {
  readonly #ledger = new AnswerLedger();
  readonly #sent = new Map<string, number>();
  readonly #cut = new Set<string>();
  readonly #truncated = new Set<string>();

  arrive(responseId: string, itemId: string): void {
    this.#ledger.begin({ responseId, itemId, contentIndex: 0 });
    this.#ledger.arrived(itemId, 0, 480);
    if (this.#ledger.isCut(responseId)) return;
    this.#ledger.sent(itemId, 0, 480);
    this.#sent.set(itemId, (this.#sent.get(itemId) ?? 0) + 480);
  }

  cut(responseId: string): void {
    this.#ledger.cut([responseId]);
    this.#cut.add(responseId);
  }

  complete(_: string, itemId: string): void {
    this.#check(this.#ledger.complete(itemId, 0));
  }

  done(responseId: string): void {
    this.#check(this.#ledger.responseDone(responseId));
  }

  cleared(responseId: string): void {
    this.#check(this.#ledger.cleared([responseId]));
  }

  position(responseId: string, itemId: string, played: number): void {
    const truncation = this.#ledger.position(heard(played, this.#cut.has(responseId), itemId));
    if (truncation !== undefined) this.#check([truncation]);
  }

  #check(truncations: readonly Truncation[]): void {
    for (const { itemId, audioEndMs } of truncations) {
      expect(this.#truncated.has(itemId)).toBe(false);
      this.#truncated.add(itemId);
      expect(audioEndMs).toBeLessThanOrEqual(samplesToMs(this.#sent.get(itemId) ?? 0));
    }
    for (const id of this.#cut) expect(this.#ledger.isCut(id)).toBe(true);
  }
}

test('whatever happens in whatever order: a part is truncated at most once, never beyond what was sent, and a cut stays', () => {
  const step = fc.record({
    action: fc.constantFrom('arrive', 'cut', 'complete', 'done', 'cleared', 'position'),
    response: fc.nat(2),
    item: fc.nat(2),
    played: fc.nat(5000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const answers = new CheckedLedger();
      for (const { action, response, item, played } of steps)
        answers[action](`resp_${response}`, `resp_${response}/item_${item}`, played);
    }),
  );
});
