import { describe, expect, it } from 'vitest';
import { FAULTS, type Fault } from '../../server/start/faults.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { sceneForEachTest } from '../support/scene.ts';

/** What each line says of what happened. */
const HAPPENED: Readonly<Record<Fault, RegExp>> = {
  address: /^Your address changed\./,
  forwarder: /^The forwarder was killed, and was back after \d+\.\d s\./,
  kill: /^backend-\d was killed, and was back after \d+\.\d s\./,
  drain: /^backend-\d drained, and was back after \d+\.\d s\./,
  loss: /^10 % of the packets were lost for 8 s: [1-9]\d* packets\./,
  cut: /^The network was cut for 5 s\./,
  upstream: /^The upstream ended, as it does after 60 minutes\./,
};
const NOTICED = /The call noticed [\d,.]+ ms of silence\.$/;

const open = sceneForEachTest();

describe('the buttons that break things', () => {
  it('each once in a running call: every one writes its line, and not a sample is lost or doubled', async () => {
    const { scene, log } = await openLogged(
      {
        backends: 2,
        answerSpeed: 4,
        breakable: true,
        holdSocket: true,
        callHost: 'localhost',
        drainSeconds: 20,
      },
      open,
    );
    const call = await RecordedCall.begin(scene, log);
    const { page } = call;
    await call.say();
    await call.answered();
    for (const fault of FAULTS) {
      const button = page.locator(`[data-fault="${fault}"][aria-disabled="false"]`);
      await button.waitFor({ timeout: 60_000 });
      await call.say();
      // By the keyboard, as some people do.
      await button.press('Enter');
      const line = page.locator('#fault-lines li').first();
      await line.filter({ hasText: NOTICED }).waitFor({ timeout: 75_000 });
      expect(await line.locator('.entry-text').textContent()).toMatch(HAPPENED[fault]);
      if (fault === 'cut') expect(Number(await line.getAttribute('data-silent-ms'))).toBeGreaterThan(4000);
      await call.answered();
    }
    expect(await page.locator('#fault-lines li').count()).toBe(FAULTS.length);
    expect((await call.report()).state).toBe('ready');
    await call.endWhole();
  }, 300_000);
});
