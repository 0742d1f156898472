import { describe, expect, it } from 'vitest';
import { cutInSentenceAndAnswer } from '../support/cut-upstreams.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { sceneForEachTest } from '../support/scene.ts';

const open = sceneForEachTest();

describe('an upstream that ends', () => {
  it('in mid-sentence and in mid-answer, six times in one call: nothing is lost, every item is there once', async () => {
    const { scene, log } = await openLogged({ backends: 1, answerSpeed: 2 }, open);
    const call = await RecordedCall.begin(scene, log);
    for (const how of ['cut', 'expired', 'cut'] as const) await cutInSentenceAndAnswer(call, how);
    await call.endWhole();
    expect(log.sessions).toHaveLength(7);
    expect(log.last!.created.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });
});
