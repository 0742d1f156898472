import { describe, expect, it } from 'vitest';
import { sceneForEachTest } from '../support/scene.ts';
import { scriptMicrophone } from '../support/scripted-microphone.ts';
import { assertAllSpokenArrived, assertEachSentenceAnswered } from '../support/upstream-exact.ts';
import { UpstreamLog } from '../support/upstream-log.ts';

const FIRST = 'This is said before anything happens.';
const SECOND = 'In the middle of this second sentence, which is somewhat longer, the backend dies.';
const open = sceneForEachTest();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a backend that ends with a call', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)('by %s in mid-sentence', async (signal) => {
    const log = new UpstreamLog();
    const scene = await open({ text: 'unused', backends: 3, answerSpeed: 4, observer: log, drainSeconds: 30, relay: { delayMs: 10 } });
    const page = await scene.openPage();
    const microphone = await scriptMicrophone(page);
    await page.click('#talk');
    const ready = await scene.until(page, 'the call is ready', ({ stats }) => stats?.backend !== undefined);
    await microphone.say(FIRST);
    await scene.until(page, 'the answer was heard', ({ answers }) => answers.length === 1 && answers[0]!.finished);
    await microphone.say(SECOND);
    await pause(1500);
    const victim = scene.cluster.backends[Number(ready.stats!.backend.at(-1)) - 1]!;
    const at = performance.now();
    await victim.kill(signal);
    console.log('ended', performance.now() - at);
    await scene.until(page, 'the call goes on', ({ stats }) => stats!.resumptions > 0);
    console.log('resumed', performance.now() - at);
    const end = await scene.until(page, 'both answers were heard', ({ answers }) => answers.filter(({ complete, finished }) => complete && finished).length === 2);
    console.log('heard', performance.now() - at, end.timeline.map((t) => t.text));
    for (const session of log.sessions) console.log(session.id, session.appends.length, session.appends[0]?.at! - at, session.created.map((i)=>i.role), [...session.answers.values()].map((a)=>[a.itemId,a.pcm.length,a.completed].join(' ')), session.sent.filter((t)=>!t.endsWith('delta')).join(' '));
    const all = log.sessions.flatMap((s) => s.appends.map((a) => a.at)).sort((a, b) => a - b);
    console.log('gap', Math.max(...all.slice(1).map((t, i) => t - all[i]!)));
    await page.click('#talk');
    const report = await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    const spoken = await microphone.spoken();
    expect(log.sessions).toHaveLength(2);
    assertAllSpokenArrived(log, spoken);
    assertEachSentenceAnswered(log, spoken, report, 2);
  });
});
