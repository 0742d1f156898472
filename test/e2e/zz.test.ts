import { describe, expect, it } from 'vitest';
import { writeFileSync } from 'node:fs';
import { cutInSentenceAndAnswer } from '../support/cut-upstreams.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { sceneForEachTest } from '../support/scene.ts';
const open = sceneForEachTest();
describe('an upstream that ends', () => {
  it('x', { timeout: 300_000 }, async () => {
    const { scene, log } = await openLogged({ backends: 1, answerSpeed: 2 }, open);
    const call = await RecordedCall.begin(scene, log);
    for (const how of ['expired', 'expired', 'expired'] as const) console.log(await cutInSentenceAndAnswer(call, how));
    writeFileSync('/tmp/backend.log', scene.cluster.backends[0]!.log.join('\n'));
    console.log(log.sessions.map((s) => [s.id, s.appends.length, s.appends[0]?.at, s.appends.at(-1)?.at].join(' ')).join('\n'));
  });
});
