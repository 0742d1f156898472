import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { HeardAnswers } from '../support/heard-answers.ts';
import { sceneForEachTest } from '../support/scene.ts';
import { SpokenWords } from '../support/spoken-words.ts';

const open = sceneForEachTest();

interface PlaybackFigures {
  readonly codec: string;
  readonly badPackets: number;
}

async function playbackOf(page: Page): Promise<PlaybackFigures> {
  return (await page.evaluate('window.parley.stats.playback')) as PlaybackFigures;
}

describe('answers as Opus in Chromium', () => {
  it('both ways, where the page asks for nothing else: every sample in its place, and no gap', async () => {
    const words = new SpokenWords();
    const answers = new HeardAnswers();
    const opened = await open({
      text: 'One two three four five six seven: every word of this must come back.',
      codec: 'opus',
      observer: { ...words.observer, ...answers.observer },
      relay: { delayMs: 30 },
    });
    const page = await opened.openPage();
    await words.watch(page);
    await answers.watch(page);
    await page.click('#talk');
    await opened.until(page, 'an answer came', ({ answers: [answer] }) => answer?.complete === true);
    const playback = await playbackOf(page);
    expect(playback.codec).toBe('opus');
    expect(playback.badPackets).toBe(0);
    const { report, upstream } = await opened.finish(page);
    expect(report.answers.length).toBeGreaterThan(0);
    for (const answer of report.answers) {
      const made = upstream.answers.find(({ itemId }) => itemId === answer.itemId);
      expect(answer.receivedSamples).toBe(made?.samples);
      expect(answer.playedSamples).toBe(made?.samples);
      expect(answer.playedHash).toBe(answer.receivedHash);
    }
    for (const compared of [await words.compare(page), ...(await answers.compare(page))]) {
      expect(compared.heard.length).toBe(compared.said.length);
      expect(compared.shift).toBe(0);
      expect(compared.audibleWindows).toBeGreaterThan(50);
      expect(compared.longestGapMs).toBeLessThanOrEqual(20);
      expect(compared.correlation).toBeGreaterThan(0.95);
    }
  }, 180_000);

  it('from the middle of an answer on, where a link gets too thin for PCM: no sample lost, no click', async () => {
    const answers = new HeardAnswers();
    const opened = await open({
      text: 'One two three four five six seven eight nine ten: '.repeat(4),
      codec: 'auto',
      answerSpeed: 2,
      observer: answers.observer,
      relay: { delayMs: 30 },
    });
    // On a busy machine its own words might wait for so long that the answer begins as Opus: then there would be no seam.
    const page = await opened.openPage('/', 'delete globalThis.AudioEncoder');
    await answers.watch(page);
    await page.click('#talk');
    await opened.untilInAnswer(page);
    await page.click('#mute');
    opened.relay.setRate(100);
    const report = await opened.until(
      page,
      'the answer was heard',
      ({ answers: [answer] }) => answer?.finished === true,
    );
    const { codec, badPackets } = await playbackOf(page);
    expect(codec).toBe('opus');
    expect(badPackets).toBe(0);
    const [compared] = await answers.compare(page);
    expect(report.answers[0]!.playedSamples).toBe(compared!.said.length);
    expect(compared!.heard.length).toBe(compared!.said.length);
    expect(compared!.shift).toBe(0);
    expect(compared!.longestGapMs).toBeLessThanOrEqual(20);
    const { seams } = compared!;
    expect(seams.length).toBeGreaterThanOrEqual(1);
    for (const seam of seams) expect(compared!.clicksAt(seam)).toBe(false);
  }, 180_000);
});
