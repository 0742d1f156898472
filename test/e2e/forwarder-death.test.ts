import { describe, expect, it } from 'vitest';
import { expectSampleExact } from '../support/sample-exact.ts';
import { sceneForEachTest } from '../support/scene.ts';

const LONG = 'One two three four five six seven: every word of this must arrive.';
/** A process that is started again may take long on a busy machine, and QUIC's probes wait as long again. */
const RESTART_TIMEOUT_MS = 180_000;
/** When the caller is in the middle of the sentence: a second of silence leads. */
const MID_UTTERANCE_MS = 3000;

const open = sceneForEachTest();

/** By the clock: a forwarder that is back later than two seconds finds a page that dials again, and may be given another backend. */
describe('a forwarder dies in the middle of an utterance: the call in Chromium goes on', () => {
  it(
    'killed and started again, its socket gone meanwhile: the same session, every sample',
    async () => {
      const opened = await open({ text: LONG });
      const page = await opened.call();
      await opened.spoken(page, MID_UTTERANCE_MS);
      await opened.cluster.forwarder.kill('SIGKILL');
      await opened.cluster.forwarder.start();
      const result = await opened.finish(page);
      expectSampleExact(result);
      const { stats, timeline } = result.report;
      expect(opened.upstreams, JSON.stringify({ stats, timeline }, null, 1)).toHaveLength(1);
    },
    RESTART_TIMEOUT_MS,
  );

  it(
    'with no relay between, where Chromium would hear of a closed port: its socket is held meanwhile',
    async () => {
      const opened = await open({ text: LONG, direct: true, holdSocket: true });
      const page = await opened.call();
      await opened.spoken(page, MID_UTTERANCE_MS);
      await opened.cluster.forwarder.kill('SIGKILL');
      await opened.cluster.forwarder.start();
      expectSampleExact(await opened.finish(page));
      expect(opened.upstreams).toHaveLength(1);
      expect(opened.relay.stats.toTarget.received).toBe(0);
    },
    RESTART_TIMEOUT_MS,
  );
});
