import { describe, expect, test } from 'vitest';
import { type CodecOption, OpusChoice } from '../../../browser/opus-choice.ts';

const STEP_MS = 20;
const SAMPLES_PER_STEP = 480;

/** A caller who speaks, over a link of a certain rate, to a backend that says each 200 ms how far it got. */
class Talk {
  readonly choice: OpusChoice;
  now = 1000;
  /** What the link carries, in kbit/s. */
  kbps = 10_000;
  roundTripMs = 100;
  resends = 0;
  /** Nothing passes, either way. */
  gone = false;
  wasLimited = false;
  readonly codecs: string[] = [];
  #said = 0;
  /** Octets that wait for the link, and the sample at its end. */
  #queue: { samples: number; octets: number }[] = [];
  #passed = 0;
  readonly #arrivals: { at: number; samples: number }[] = [];
  #toldAt = 0;

  constructor(option: CodecOption = 'auto') {
    this.choice = new OpusChoice(option);
    this.choice.available = true;
    this.choice.roundTrip(100);
    this.choice.carried(0, this.now);
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; ) this.#step();
  }

  #step(): void {
    this.now += STEP_MS;
    this.#said += SAMPLES_PER_STEP;
    this.choice.said(this.#said, this.now);
    this.codecs.push(this.choice.codec);
    this.#queue.push({ samples: this.#said, octets: this.choice.codec === 'opus' ? 110 : 1000 });
    let room = this.gone ? 0 : (this.kbps / 8) * STEP_MS;
    for (let first = this.#queue[0]; first !== undefined && room > 0; first = this.#queue[0]) {
      const taken = Math.min(room, first.octets);
      first.octets -= taken;
      room -= taken;
      if (first.octets > 0) break;
      this.#passed = first.samples;
      this.#queue.shift();
    }
    this.#arrivals.push({ at: this.now + this.roundTripMs / 2, samples: this.#passed });
    if (this.now - this.#toldAt >= 200 && !this.gone) this.#tell();
    const resend = this.choice.update(this.now);
    this.wasLimited ||= this.choice.limited;
    if (!resend) return;
    this.resends += 1;
    for (const waiting of this.#queue) waiting.octets = 110;
  }

  /** What had arrived at the backend half a round trip ago. */
  #tell(): void {
    this.#toldAt = this.now;
    let known = 0;
    while (this.#arrivals[0] !== undefined && this.#arrivals[0].at <= this.now - this.roundTripMs / 2)
      known = this.#arrivals.shift()!.samples;
    this.choice.heard(this.now);
    if (known > 0) this.choice.acknowledge(known, this.now);
  }
}

describe('the choice of the codec', () => {
  test('PCM where the network carries it', () => {
    const talk = new Talk();
    talk.run(60_000);
    expect(talk.resends).toBe(0);
    expect(new Set(talk.codecs)).toEqual(new Set(['pcm16']));
    expect(talk.choice.limited).toBe(false);
    expect(talk.choice.waitingMs(talk.now)).toBeLessThan(100);
  });

  test('what was said before there was a session did not wait for the network', () => {
    const choice = new OpusChoice('auto');
    choice.available = true;
    for (let n = 1; n <= 100; n++) choice.said(n * 480, n * 20);
    choice.roundTrip(100);
    choice.carried(0, 2000);
    choice.acknowledge(48_000, 2300);
    expect(choice.waitingMs(2300)).toBe(0); // all of it came
    choice.said(48_480, 2300);
    expect(choice.waitingMs(2301)).toBe(200);
    expect(choice.update(2301)).toBe(false);
  });

  test('Opus once audio waits for more than 300 ms, and what waits is sent again', () => {
    const talk = new Talk();
    talk.run(5000);
    talk.kbps = 200;
    talk.run(3000);
    expect(talk.choice.codec).toBe('opus');
    expect(talk.resends).toBe(1);
    expect(talk.choice.limited).toBe(true);
    talk.run(2000);
    expect(talk.choice.waitingMs(talk.now)).toBeLessThan(150);
  });

  test('a network that takes nothing is noticed without a word of the backend', () => {
    const talk = new Talk();
    talk.run(5000);
    talk.kbps = 0;
    talk.run(900);
    expect(talk.resends).toBe(1);
  });

  test.each([480, 700, 1500, 4000])(
    'a network that is gone for %i ms is not slow: PCM is tried after a few seconds, and no one is told',
    (goneMs) => {
      const talk = new Talk();
      talk.run(5000);
      for (let times = 0; times < 3; times++) {
        talk.gone = true;
        talk.run(goneMs);
        talk.gone = false;
        talk.run(8000);
        expect(talk.choice.codec).toBe('pcm16');
      }
      expect(talk.wasLimited).toBe(false);
    },
  );

  test('one that is slow after it was gone is told to be, and is given its 30 s', () => {
    const talk = new Talk();
    talk.run(5000);
    talk.gone = true;
    talk.run(1500);
    talk.gone = false;
    talk.kbps = 30;
    talk.run(5000);
    expect([talk.choice.codec, talk.choice.limited]).toEqual(['opus', true]);
    talk.kbps = 10_000;
    const from = talk.codecs.length;
    talk.run(25_000);
    expect(new Set(talk.codecs.slice(from))).toEqual(new Set(['opus']));
    talk.run(15_000);
    expect([talk.choice.codec, talk.choice.limited]).toEqual(['pcm16', false]);
  });

  test('one that carries Opus alone after it was gone costs one trial more', () => {
    const talk = new Talk();
    talk.run(5000);
    talk.gone = true;
    talk.run(1500);
    talk.gone = false;
    talk.kbps = 100;
    talk.run(25_000);
    expect([talk.choice.codec, talk.choice.limited]).toEqual(['opus', true]);
    const trials = talk.codecs
      .slice(250)
      .filter((codec, i, all) => codec === 'pcm16' && all[i - 1] === 'opus');
    expect(trials.length).toBe(1);
  });

  test('back to PCM after 30 s of calm, by way of 100 ms of it', () => {
    const talk = new Talk();
    talk.kbps = 200;
    talk.run(3000);
    talk.kbps = 10_000;
    const from = talk.codecs.length;
    talk.run(27_000);
    expect(new Set(talk.codecs.slice(from))).toEqual(new Set(['opus']));
    talk.run(10_000);
    expect(talk.choice.codec).toBe('pcm16');
    expect(talk.choice.limited).toBe(false);
    expect(talk.resends).toBe(1);
  });

  test('not since a later session brings what a fresh upstream lacks, unless that takes too long', () => {
    const talk = new Talk();
    talk.run(10_000);
    for (const [takesMs, codec] of [
      [1200, 'pcm16'],
      [2500, 'opus'],
    ] as const) {
      talk.choice.carried(0, talk.now);
      talk.kbps = 0;
      talk.run(takesMs);
      talk.kbps = 10_000;
      talk.run(1000);
      expect(talk.choice.codec).toBe(codec);
    }
  });

  test('also where page and backend take 80 ms themselves, whatever the codec', () => {
    const talk = new Talk();
    talk.roundTripMs += 80;
    talk.kbps = 100;
    talk.run(5000);
    expect(talk.choice.codec).toBe('opus');
    talk.kbps = 10_000;
    talk.run(35_000);
    expect(talk.choice.codec).toBe('pcm16');
    expect(talk.choice.limited).toBe(false);
  });

  test('on a link that stays thin a trial costs 100 ms of PCM, and each comes after twice as long', () => {
    const talk = new Talk();
    talk.kbps = 64;
    talk.run(300_000);
    const pcm = talk.codecs.slice(300).filter((codec) => codec === 'pcm16').length;
    const trials = talk.codecs.filter(
      (codec, i) => codec === 'pcm16' && talk.codecs[i - 1] === 'opus',
    ).length;
    expect(trials).toBeGreaterThanOrEqual(2);
    expect(trials).toBeLessThanOrEqual(4); // after 30, 60, 120 s
    expect(pcm).toBeLessThanOrEqual(trials * 18); // until the next of four looks a second
    expect(talk.resends).toBe(1);
  });

  test('Opus from the first word on where the network is known to be bad, and PCM after the calm', () => {
    const talk = new Talk();
    talk.choice.beginOpus(talk.now);
    talk.run(29_000);
    expect(new Set(talk.codecs)).toEqual(new Set(['opus']));
    expect(talk.choice.limited).toBe(true);
    talk.run(5000);
    expect(talk.choice.codec).toBe('pcm16');
    expect(talk.resends).toBe(0);
    const pcm = new OpusChoice('pcm');
    pcm.available = true;
    pcm.beginOpus(0);
    expect(pcm.codec).toBe('pcm16');
  });

  test('a slow speech model is not the network', () => {
    const talk = new Talk();
    talk.run(5000);
    talk.choice.behind(true);
    talk.kbps = 0;
    talk.run(5000);
    expect(talk.resends).toBe(0);
  });

  test('one codec where one is asked for, and PCM where the other side takes no Opus', () => {
    const opus = new OpusChoice('opus');
    expect(opus.codec).toBe('pcm16');
    opus.available = true;
    expect(opus.codec).toBe('opus');
    const pcm = new Talk('pcm');
    pcm.kbps = 64;
    pcm.run(10_000);
    expect(pcm.choice.codec).toBe('pcm16');
    const old = new Talk();
    old.choice.available = false;
    old.kbps = 64;
    old.run(10_000);
    expect(old.resends).toBe(0);
  });
});
