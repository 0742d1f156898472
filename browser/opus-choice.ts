import { type MicrophoneCodec, msToSamples } from '../proto/voice/index.ts';

/** What the page may ask for: Opus when the network does not carry PCM, or one of them always. */
export type CodecOption = 'auto' | 'pcm' | 'opus';

/** Audio that waits so long, in ms, is too much for the network as PCM. */
const WAITS_MS = 300;
/** Below this the network keeps up. */
const CALM_MS = 200;
/** How long it must keep up before PCM is tried again, in ms. */
export const CALM_FOR_MS = 30_000;
const MAX_CALM_FOR_MS = 600_000;
/** Nothing at all came from the backend for so long, in ms, though audio is under way, of which it says each 250 ms what arrived: an outage. */
const UNHEARD_MS = 400;
/** How long the network must keep up after an outage, in ms: it says nothing of what the network carries when it is there. */
const OUTAGE_CALM_MS = 3000;
/** Said as PCM to see what the network makes of it: 4.8 kB, which a link of 64 kbit/s needs 0.6 s for. */
const TRIAL_SAMPLES = msToSamples(100);
/** How long after it is looked whether audio waited, in ms, and how much more than it did as Opus: pages and backends take some time themselves. */
const JUDGED_FOR_MS = 1500;
const TRIAL_WAITS_MS = 60;
/** A later session brings what the backend lacks first, and a fresh upstream takes its time for that: it is judged after so long, in ms. */
const SETTLES_MS = 1500;
/** The backend says how far it got each 200 ms, at most. */
const ACKNOWLEDGED_EACH_MS = 250;
/** Times of samples that are kept: 120 s, in chunks of 20 ms. */
const MAX_POINTS = 6000;

type Phase = 'pcm' | 'opus' | 'trial' | 'judged';

interface Point {
  readonly samples: number;
  readonly at: number;
}

/**
 * Chooses the codec of the microphone by how long audio waits for the network: from what was said when, and what the backend says
 * of how far it got. It reads no clock.
 */
export class OpusChoice {
  readonly #option: CodecOption;
  #points: Point[] = [];
  #pointsTaken = 0;
  #said = 0;
  #acknowledged = 0;
  #lagMs = 0;
  #lagAt = Number.NEGATIVE_INFINITY;
  #roundTripMs = 0;
  /** A session carries the call since then; undefined while none does. */
  #carriedSince: number | undefined;
  #carriedBefore = false;
  /** What waits tells of the network from then on. */
  #judgedFrom = 0;
  /** Both sides speak Opus. */
  available = false;
  #phase: Phase = 'pcm';
  #calmSince = 0;
  /** How long audio waits as Opus while the network keeps up, in ms, smoothed. */
  #usualMs = 0;
  readonly #leastCalmMs: number;
  #calmForMs: number;
  #trialFrom = 0;
  #phaseSince = 0;
  #upstreamBehind = false;
  /** When something came from the backend last, and when after an outage. */
  #heardAt = 0;
  #backAt = Number.NEGATIVE_INFINITY;
  /** Audio is Opus since an outage; whether the network is slow besides is not known. */
  #outage = false;

  /** `calmForMs`: how long the network must keep up before PCM is tried again; doubled each time that it did not carry PCM. */
  constructor(option: CodecOption, calmForMs = CALM_FOR_MS) {
    this.#option = option;
    this.#leastCalmMs = calmForMs;
    this.#calmForMs = calmForMs;
  }

  /** The codec of the next audio. */
  get codec(): MicrophoneCodec {
    if (!this.available || this.#option === 'pcm') return 'pcm16';
    if (this.#option === 'opus') return 'opus';
    return this.#phase === 'pcm' || this.#phase === 'trial' ? 'pcm16' : 'opus';
  }

  /** Whether the network is what limits the call: it does not carry PCM, or is slower than that. One that was gone for a while is neither. */
  get limited(): boolean {
    return this.#phase !== 'pcm' && !this.#outage;
  }

  /** The network is known to be bad before anything was sent: it begins with Opus. */
  beginOpus(now: number): void {
    if (this.#option === 'auto' && this.#phase === 'pcm') this.#enter('opus', now);
  }

  /** Samples taken so far, the last of them now. */
  said(samples: number, now: number): void {
    if (samples <= this.#said) return;
    this.#said = samples;
    this.#points.push({ samples, at: now });
    if (this.#points.length - this.#pointsTaken > MAX_POINTS) this.#pointsTaken += 1;
    if (this.#pointsTaken < 512) return;
    this.#points = this.#points.slice(this.#pointsTaken);
    this.#pointsTaken = 0;
  }

  /** The backend has so many samples. */
  acknowledge(samples: number, now: number): void {
    if (samples <= this.#acknowledged) return;
    this.#acknowledged = samples;
    let at: number | undefined;
    for (; this.#pointsTaken < this.#points.length; this.#pointsTaken++) {
      const point = this.#points[this.#pointsTaken]!;
      if (point.samples > samples) break;
      at = point.at;
    }
    if (at === undefined || this.#carriedSince === undefined) return;
    // What was said before there was a session waited for that, and not for the network.
    this.#lagMs = Math.max(0, now - Math.max(at, this.#carriedSince) - this.#roundTripMs);
    this.#lagAt = now;
  }

  /** The shortest round trip of the path, in ms. */
  roundTrip(ms: number): void {
    this.#roundTripMs = ms;
  }

  /** Something came from the backend. */
  heard(now: number): void {
    if (now - this.#heardAt > UNHEARD_MS) this.#backAt = now;
    this.#heardAt = now;
  }

  /** The backend waits for its upstream: then what waits tells nothing of the network. */
  behind(behind: boolean): void {
    this.#upstreamBehind = behind;
  }

  /** A session carries the call from now on; the backend has so many samples. */
  carried(received: number, now: number): void {
    this.#judgedFrom = this.#carriedBefore ? now + SETTLES_MS : now;
    this.#carriedBefore = true;
    this.#acknowledged = received;
    this.#carriedSince = now;
    this.#heardAt = now;
    this.#calmSince = now;
    this.#lagMs = 0;
  }

  /** No session carries the call. */
  lost(): void {
    this.#carriedSince = undefined;
  }

  /** How long microphone audio waits for the network, in ms. */
  waitingMs(now: number): number {
    if (this.#carriedSince === undefined || this.#upstreamBehind || this.#said <= this.#acknowledged)
      return 0;
    const oldest = this.#points[this.#pointsTaken];
    const since = Math.max(oldest?.at ?? now, this.#carriedSince);
    const silentMs = now - since - this.#roundTripMs - ACKNOWLEDGED_EACH_MS;
    const lagMs = now - this.#lagAt < 1000 ? this.#lagMs : 0;
    return Math.max(0, silentMs, lagMs);
  }

  /** To be called a few times a second. True when what waits is to be sent again, as Opus, from what the backend has. */
  update(now: number): boolean {
    if (this.#option !== 'auto' || !this.available || this.#carriedSince === undefined) return false;
    const waitingMs = this.waitingMs(now);
    if (waitingMs > CALM_MS) {
      this.#calmSince = now;
      this.#usualMs = 0;
    } else if (this.#phase === 'opus') this.#usualMs += (waitingMs - this.#usualMs) / 8;
    switch (this.#phase) {
      case 'pcm':
        if (waitingMs <= WAITS_MS || now < this.#judgedFrom) return false;
        this.#outage = this.#inOutage(now);
        this.#calmForMs = this.#calmAfterPcm(now);
        this.#enter('opus', now);
        return true;
      case 'opus':
        if (this.#outage && waitingMs > WAITS_MS && !this.#inOutage(now)) this.#foundSlow();
        if (now - this.#calmSince < this.#calmForMs) return false;
        this.#trialFrom = this.#said;
        this.#enter('trial', now);
        return false;
      case 'trial':
        if (this.#said - this.#trialFrom >= TRIAL_SAMPLES) this.#enter('judged', now);
        return false;
      case 'judged':
        if (waitingMs > this.#usualMs + TRIAL_WAITS_MS) {
          if (this.#outage) this.#foundSlow();
          else this.#calmForMs = this.#longer();
          this.#enter('opus', now);
        } else if (now - this.#phaseSince > JUDGED_FOR_MS) this.#enter('pcm', now);
        return false;
    }
  }

  /** Nothing comes from the backend, or it does only just again and what waited arrives. */
  #inOutage(now: number): boolean {
    return now - this.#heardAt > UNHEARD_MS || now - this.#backAt < SETTLES_MS;
  }

  /** There was an outage, but the network is slow too. */
  #foundSlow(): void {
    this.#outage = false;
    this.#calmForMs = this.#leastCalmMs;
  }

  #calmAfterPcm(now: number): number {
    if (this.#outage) return Math.min(OUTAGE_CALM_MS, this.#leastCalmMs);
    return now - this.#phaseSince < 2 * this.#leastCalmMs ? this.#longer() : this.#leastCalmMs;
  }

  /** The first switch of a call is no sign that a trial misled. */
  #longer(): number {
    if (this.#phaseSince === 0) return this.#leastCalmMs;
    return Math.min(Math.max(2 * this.#calmForMs, this.#leastCalmMs), MAX_CALM_FOR_MS);
  }

  #enter(phase: Phase, now: number): void {
    this.#phase = phase;
    this.#phaseSince = now;
    this.#calmSince = now;
  }
}
