import { expect } from 'vitest';
import type { SessionAudit } from '../../server/realtime/local/index.ts';
import type { PageReport } from './scene.ts';

/** Every sample that the page took reached the upstream, and every sample that the upstream sent was played. */
export function expectSampleExact({
  report,
  upstream,
}: {
  report: PageReport;
  upstream: SessionAudit;
}): void {
  expect(report.microphone?.samples).toBeGreaterThan(24_000);
  expect({ samples: upstream.microphoneSamples, hash: upstream.microphoneHash }).toEqual({
    samples: report.microphone?.samples,
    hash: report.microphone?.hash,
  });
  const sent = upstream.answers.map(({ itemId, samples, hash }) => ({ itemId, samples, hash }));
  expect(sent.length).toBeGreaterThan(0);
  expect(sent.every(({ samples }) => samples > 12_000)).toBe(true);
  const { answers, stats, timeline } = report;
  expect(
    report.answers.map(({ itemId, receivedSamples: samples, receivedHash: hash }) => ({
      itemId,
      samples,
      hash,
    })),
    JSON.stringify({ answers, stats, timeline, upstream }, null, 1),
  ).toEqual(sent);
  expect(
    report.answers.map(({ itemId, playedSamples: samples, playedHash: hash }) => ({ itemId, samples, hash })),
  ).toEqual(sent);
}
