import { describe, expect, it } from 'vitest';
import { endBackendInSentence } from '../support/end-backend.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { sceneForEachTest } from '../support/scene.ts';
import { audioOf } from '../support/upstream-log.ts';

/** A round trip of 20 ms. */
const RELAY = { delayMs: 10 };

const open = sceneForEachTest();

/** The fresh upstream was given what was said and answered before, then heard the second sentence. */
function expectRestored({ log }: RecordedCall): void {
  expect(log.sessions).toHaveLength(2);
  const [first, fresh] = log.sessions;
  expect(fresh!.created.map(({ role }) => role)).toEqual(['user', 'assistant']);
  const [answer] = first!.answers.keys();
  expect(fresh!.created[1]!.id).toBe(answer);
  expect(audioOf(fresh!).length).toBeGreaterThan(48_000);
}

describe('a backend that ends in mid-sentence, with two left', () => {
  it('by SIGKILL: the sentence reaches a fresh upstream whole, the answer comes, what was said before is there', async () => {
    const { scene, log } = await openLogged({ backends: 3, answerSpeed: 4, relay: RELAY }, open);
    const call = await RecordedCall.begin(scene, log);
    const { audioMs } = await endBackendInSentence(call, 'SIGKILL');
    expect(audioMs).toBeLessThan(6000);
    await call.endWhole();
    expectRestored(call);
  });

  it('by SIGTERM: the call is moved in its next pause, and no pause is above 1 s', async () => {
    const { scene, log } = await openLogged(
      { backends: 3, answerSpeed: 4, relay: RELAY, drainSeconds: 60 },
      open,
    );
    const call = await RecordedCall.begin(scene, log);
    const { longestGapMs, noticedMs } = await endBackendInSentence(call, 'SIGTERM');
    expect(noticedMs, 'the page never was without a connection').toBeUndefined();
    expect(longestGapMs).toBeLessThan(1000);
    // The sentence was heard, and answered, where it began.
    expect([...log.sessions[0]!.answers.values()].map(({ completed }) => completed)).toEqual([true, true]);
    await call.say();
    await call.answered();
    await call.endWhole();
    expect(log.sessions).toHaveLength(2);
    expect(log.last!.created.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });
});
