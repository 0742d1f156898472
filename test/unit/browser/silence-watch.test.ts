import { describe, expect, it } from 'vitest';
import { SilenceWatch } from '../../../browser/silence-watch.ts';
import type { ServerMessage } from '../../../proto/voice/index.ts';

const LOOK_MS = 250;

/** A page that speaks all the time, and what of the two directions gets through. */
class Line {
  readonly watch = new SilenceWatch();
  now = 1000;
  flowing = true;
  arrives = true;
  comes = true;
  /** The upstream takes no audio. */
  behind = false;
  /** Octets that come to the backend each second though no audio is in order there. */
  otherOctets = 0;
  #samples = 0;
  #octets = 5000;

  constructor() {
    this.watch.start(this.now, this.#samples);
  }

  #say(message: object): void {
    this.watch.heard(this.now);
    this.watch.take(message as ServerMessage, this.now);
  }

  /** Goes on for so long; gives when it was found silent, in ms from here, or undefined. */
  go(ms: number): number | undefined {
    const from = this.now;
    let foundAt: number | undefined;
    for (const end = from + ms; this.now < end; ) {
      this.now += LOOK_MS;
      const moves = this.flowing && this.arrives && !this.behind;
      if (moves) {
        this.#samples += 6000;
        this.#octets += 12_000;
        if (this.comes) this.#say({ type: 'parley.received', microphoneSamples: this.#samples, events: 0 });
      }
      if (this.comes && this.now % 1000 === 0) {
        if (this.arrives) this.#octets += 40;
        this.#octets += this.otherOctets;
        if (this.behind) this.#say({ type: 'parley.behind', bufferedMs: 900 });
        this.#say({ type: 'parley.stats', octetsReceived: this.#octets });
      }
      if (this.watch.isSilent(this.now, this.flowing)) foundAt ??= this.now - from;
    }
    return foundAt;
  }
}

describe('a session', () => {
  it('that carries audio one way and figures the other is alive', () => {
    expect(new Line().go(60_000)).toBeUndefined();
  });

  it('of which nothing comes is silent after 2 s while audio flows, after 3.5 s while none does', () => {
    for (const [flowing, ms] of [
      [true, 2000],
      [false, 3500],
    ] as const) {
      const line = new Line();
      line.flowing = flowing;
      line.go(10_000);
      line.comes = false;
      const found = line.go(10_000)!;
      expect(found).toBeGreaterThan(ms - 1000);
      expect(found).toBeLessThanOrEqual(ms + LOOK_MS);
    }
  });

  it('in which the backend speaks and nothing of the page arrives is silent too, as soon', () => {
    const line = new Line();
    line.go(10_000);
    line.arrives = false;
    const found = line.go(20_000)!;
    expect(found).toBeGreaterThanOrEqual(2000);
    expect(found).toBeLessThanOrEqual(2250);
    expect(line.watch.since).toBe(11_000);
  });

  it('is alive while audio waits on a lossy link, where other octets of the page arrive', () => {
    const line = new Line();
    line.go(10_000);
    line.arrives = false;
    line.otherOctets = 4000;
    expect(line.go(8000)).toBeUndefined();
  });

  it('is silent where nothing but acknowledgements of the page arrives: its audio waits for a timeout that an outage made long', () => {
    const line = new Line();
    line.go(10_000);
    line.arrives = false;
    line.otherOctets = 1000;
    const found = line.go(8000)!;
    expect(found).toBeGreaterThanOrEqual(2000);
    expect(found).toBeLessThanOrEqual(2250);
  });

  it('is alive while the upstream takes no audio, and for 2 s when it does again', () => {
    const line = new Line();
    line.go(10_000);
    line.behind = true;
    line.arrives = false;
    expect(line.go(30_000)).toBeUndefined();
    line.behind = false;
    line.watch.take({ type: 'parley.behind', bufferedMs: 0 }, line.now);
    expect(line.go(1750)).toBeUndefined();
    expect(line.go(500)).toBe(250);
  });

  it('is alive when the caller begins to speak after a while in which nothing came there', () => {
    const line = new Line();
    line.flowing = false;
    line.arrives = false;
    line.go(20_000);
    line.flowing = true;
    expect(line.go(1750)).toBeUndefined();
    line.arrives = true;
    expect(line.go(10_000)).toBeUndefined();
  });

  it('is not judged by a look that was held up with the whole page', () => {
    const line = new Line();
    line.go(10_000);
    expect(line.watch.isSilent(line.now + 9000, true)).toBe(false);
  });
});

describe('a silence', () => {
  it('is not over when the backend is heard: audio must arrive there', () => {
    const line = new Line();
    line.go(10_000);
    line.comes = false;
    line.arrives = false;
    expect(line.go(5000)).toBeDefined();
    expect(line.watch.isOver(true)).toBe(false);
    line.comes = true;
    line.go(5000);
    expect(line.watch.isOver(true)).toBe(false);
    expect(line.watch.since).toBe(11_000);
    line.arrives = true;
    line.go(250);
    expect(line.watch.isOver(true)).toBe(true);
    expect(line.watch.since).toBe(line.now);
  });

  it('is over when the backend is heard, while no audio flows', () => {
    const line = new Line();
    line.flowing = false;
    line.go(10_000);
    line.comes = false;
    expect(line.go(5000)).toBeDefined();
    expect(line.watch.isOver(false)).toBe(false);
    line.comes = true;
    line.go(1000);
    expect(line.watch.isOver(false)).toBe(true);
  });
});
