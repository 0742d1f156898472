import { describe, expect, it } from 'vitest';
import { growthMsPerMinute, quantile, runOnNetwork } from '../support/network-run.ts';

// The short form of `npm run bench:networks`, with room for a busy machine: there delays are told apart.
const SECONDS = 20;

describe('a caller in Chromium on a path of network namespaces', () => {
  it.each([
    { name: '20 % of packets lost each way', lossRate: 0.2, mostUnderruns: 1 },
    // Its queue holds 1.6 KB: the first flight of an answer overflows it, so that its beginning may stop more than once.
    { name: '64 kbit/s', rateKbps: 64, mostUnderruns: 3 },
  ])(
    '$name: every 20 ms comes, in order, soon, and the delay does not grow',
    async ({ name: _, mostUnderruns, ...network }) => {
      const run = await runOnNetwork({
        ...network,
        delayMs: 50,
        codec: 'auto',
        seconds: SECONDS,
        answerSeconds: 8,
      });
      expect(run.heardSamples).toBe(run.saidSamples);
      expect(run.delaysMs.length).toBe(SECONDS * 50);
      expect(run.longestGapMs).toBeLessThanOrEqual(20);
      expect(run.answerCodec).toBe('opus');
      // PCM on such a network falls behind by 10 to 50 s in each minute.
      expect(growthMsPerMinute(run.delaysMs, SECONDS / 2)).toBeLessThan(3000);
      // What was said while a slow link opened the session has waited for it.
      expect(quantile(run.delaysMs.slice((SECONDS / 2) * 50), 0.9)).toBeLessThan(3000);
      expect(run.underruns).toBeLessThanOrEqual(mostUnderruns);
    },
    240_000,
  );
});
