import { describe, expect, test } from 'vitest';
import { MicrophoneDelay } from '../../../server/bridge/microphone-delay.ts';

/** The page's clock is so far behind the one here, in ms. */
const LEAD_MS = 1_000_000;
const ONE_WAY_MS = 50;

/** A page that says each second where its microphone is, over a way that takes so long. */
class Page {
  readonly delay = new MicrophoneDelay();

  /** `ms` of audio were taken, and `pageMs` is when the last of it was; the message takes `wayMs`. */
  tells(ms: number, pageMs: number, wayMs = ONE_WAY_MS): void {
    this.delay.told(
      {
        type: 'parley.uplink',
        microphoneSamples: ms * 24,
        elapsedMs: pageMs,
        waitingMs: 0,
        codec: 'pcm16',
      },
      ONE_WAY_MS,
      LEAD_MS + pageMs + wayMs,
    );
  }

  /** Audio up to `ms` goes on at this moment of the page's clock. */
  handedOn(ms: number, pageMs: number): number | undefined {
    return this.delay.handedOn(ms * 24, LEAD_MS + pageMs);
  }
}

describe('how late microphone audio is', () => {
  test('is not known before the page said when it took any', () => {
    const { delay } = new Page();
    expect(delay.handedOn(480, 5000)).toBeUndefined();
    expect(delay.takeLongestMs()).toBeUndefined();
  });

  test('from when it was taken to when it goes on, whatever the clocks of both sides say', () => {
    const page = new Page();
    page.tells(1000, 3000);
    expect(page.handedOn(1000, 3050)).toBeCloseTo(50);
    expect(page.handedOn(500, 3050)).toBeCloseTo(550);
    page.tells(2000, 4000);
    expect(page.handedOn(1500, 3700)).toBeCloseTo(200);
    // Behind what the page said last, its microphone is taken to have gone on.
    expect(page.handedOn(2500, 4600)).toBeCloseTo(100);
    expect(page.delay.takeLongestMs()).toBeCloseTo(550);
    expect(page.delay.takeLongestMs()).toBeUndefined();
  });

  test('a pause of the microphone is no delay: what was said before it keeps its time', () => {
    const page = new Page();
    page.tells(1000, 2000);
    page.tells(1100, 12_000); // muted for nine seconds
    expect(page.handedOn(1000, 12_050)).toBeCloseTo(10_050);
    expect(page.handedOn(1050, 12_060)).toBeLessThanOrEqual(10_010);
    expect(page.handedOn(1100, 12_070)).toBeCloseTo(70);
  });

  test('the message that came soonest tells how far the clocks are apart, not a late one', () => {
    const page = new Page();
    page.tells(1000, 2000, 900);
    page.tells(2000, 3000);
    page.tells(3000, 4000, 2000);
    expect(page.handedOn(3000, 4100)).toBeCloseTo(100);
  });

  test('a clock that drifts is followed: an old lead is forgotten after ten minutes', () => {
    const page = new Page();
    let driftMs = 0;
    for (let second = 1; second <= 1200; second++) {
      driftMs += 0.1;
      page.tells(second * 1000, second * 1000, ONE_WAY_MS + driftMs);
    }
    const now = 1_200_000;
    const delayMs = page.handedOn(now, now + driftMs + 80)!;
    expect(delayMs).toBeGreaterThan(70);
    expect(delayMs).toBeLessThan(80 + 61);
  });

  test('never less than nothing, and a page that counts backwards is not believed', () => {
    const page = new Page();
    page.tells(2000, 3000);
    page.tells(1000, 4000);
    expect(page.handedOn(2000, 2000)).toBe(0);
    expect(page.handedOn(2000, 3100)).toBeCloseTo(100);
  });

  test('keeps as many places as half a minute needs, however many it is told', () => {
    const page = new Page();
    for (let n = 1; n <= 10_000; n++) page.tells(n * 20, n * 20);
    expect(page.handedOn(200_000, 200_100)).toBeCloseTo(100);
    // What is older than those is counted back from the oldest.
    expect(page.handedOn(1000, 200_100)).toBeCloseTo(199_100);
  });
});
