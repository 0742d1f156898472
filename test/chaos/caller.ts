import type { AnswerHeader, Message, ServerMessage } from '../../proto/voice/index.ts';
import { type Page, type PageModule, type PageWitness, whereStands } from '../simulation/calls/page-face.ts';
import { samplesFrom } from '../simulation/calls/samples.ts';
import type { ModelResponse, ModelUpstream } from '../simulation/calls/upstream.ts';
import { SeededRandom } from '../simulation/random.ts';
import { AnswerAccount, MicrophoneAccount } from './samples.ts';
import type { UpstreamOwner } from './upstreams.ts';

/** Samples of one ms. */
const PER_MS = 24;
/** Answer tags begin anew after so many; no call of this length has as many answers. */
const ANSWER_TAGS = 500;
/** Pauses that let the upstream hear the end of a turn, and that let an answer come, in ms. */
const PAUSE_MS = [400, 2500] as const;
/** Silence behind what was said before a caller mutes, in ms: the upstream hears the end of a turn by it. */
const TAIL_MS = 400;
/** Silence behind the last that a caller says, in ms. */
const LAST_SILENCE_MS = 1000;
/** Most audio that is said at one moment by a process that was late, in ms: as a sound card's buffer would give it. */
const MOST_AT_ONCE_MS = 5000;

/** Something that happened to a call, in ms since 1970. */
export interface Touch {
  readonly at: number;
  readonly what: string;
}

export interface CallerOptions {
  readonly tag: number;
  readonly seed: number;
  readonly frameMs: number;
  /** The microphone is muted in pauses. */
  readonly mutes?: boolean;
  /** Pauses in which an answer is heard last so many times as long. */
  readonly pauses?: number;
  readonly url: string;
  readonly certificateHashes: readonly string[];
}

/** A caller with the page that ships: speaks in turns, hears, speaks over answers. */
export class ChaosCaller implements PageWitness, UpstreamOwner {
  readonly microphone: MicrophoneAccount;
  readonly answers = new AnswerAccount();
  readonly touches: Touch[] = [];
  readonly sessions: string[] = [];
  readonly page: Page;
  readonly tag: number;
  failure: string | undefined;
  /** Longest time that a sample waited to be heard for the first time, in ms. */
  lateMs = 0;
  #silenceMs = 0;
  #silenceBefore = 0;
  readonly #options: CallerOptions;
  readonly #random: SeededRandom;
  readonly #upstreams = new Map<number, ModelUpstream>();
  readonly #ready: Promise<void>;
  #becomeReady!: () => void;
  #current: ModelUpstream | undefined;
  #heardAt: number | undefined;
  /** When which sample was said, at the begin of each stretch. */
  readonly #stretches: { readonly sample: number; readonly at: number }[] = [];
  #open = false;
  #quietSince = 0;
  #answers = 0;
  #timer: NodeJS.Timeout | undefined;
  #speaking = false;
  #turnAt = 0;
  #listening = true;
  #last = false;

  constructor(pages: PageModule, options: CallerOptions) {
    this.#options = options;
    this.tag = options.tag;
    this.microphone = new MicrophoneAccount(options.tag);
    this.#random = new SeededRandom(options.seed, `caller ${options.tag}`);
    this.#ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    const { url, certificateHashes } = options;
    this.page = pages.openPage(
      { url, token: `caller-${options.tag}`, resumeFor: 60_000, certificateHashes },
      this,
    );
  }

  get mutes(): boolean {
    return this.#options.mutes === true;
  }

  /** Fulfils when the call runs, or cannot. */
  async start(): Promise<void> {
    void this.page.start();
    await this.#ready;
    const now = performance.now();
    this.#turnAt = now + this.#random.between(0, 2000);
    if (this.failure !== undefined) return;
    this.#unmute(now);
    this.#timer = setInterval(() => this.#frame(), this.#options.frameMs);
  }

  // What the caller does.

  #unmute(now: number): void {
    if (this.#open) return;
    this.#open = true;
    // While it is muted, nothing but the figures of each second comes.
    this.#heardAt = now;
    this.#quietSince = now;
    this.#stretches.push({ sample: this.page.samples, at: now });
    this.page.beginStretch();
  }

  #mute(): void {
    if (!this.#open) return;
    this.#open = false;
    this.page.endStretch();
  }

  /** Says all that is due by now. */
  #frame(): void {
    const now = performance.now();
    if (now >= this.#turnAt) this.#unmute(now);
    if (!this.#open) return;
    const { sample, at } = this.#stretches.at(-1)!;
    const from = this.page.samples;
    const due = sample + Math.floor((now - at) * PER_MS);
    const count = Math.min(due - from, MOST_AT_ONCE_MS * PER_MS) & ~1;
    if (count <= 0) return;
    if (now >= this.#turnAt) this.#turn(now, from);
    this.page.speak(samplesFrom(from, count, this.tag, this.#speaking));
    if (this.#speaking) this.microphone.words.at(-1)!.to = this.page.samples;
    if (this.#heardAt !== undefined && this.#listening) this.#notice(now);
    const isPause = !this.#speaking && now - this.#quietSince > TAIL_MS && this.#turnAt - now > TAIL_MS;
    if (this.#options.mutes && isPause && !this.#last) this.#mute();
  }

  /** Begins to speak, or ends. */
  #turn(now: number, from: number): void {
    if (this.#last && !this.#speaking) return;
    // A process that was late has said nothing of it yet.
    if (this.#last && from === this.microphone.words.at(-1)?.from) return;
    this.#speaking = !this.#speaking;
    this.#quietSince = now;
    if (this.#speaking) this.microphone.words.push({ from, to: from });
    const [short, long] = PAUSE_MS;
    // A short pause lets no answer be heard to its end: the caller speaks over it.
    const interrupts = this.#random.chance(0.3);
    const lasts = this.#speaking
      ? this.#random.between(300, 1800)
      : interrupts
        ? this.#random.between(short, long)
        : this.#random.between(long, 2 * long) * (this.#options.pauses ?? 1);
    this.#turnAt = now + lasts;
  }

  #notice(now: number): void {
    this.#silenceMs = Math.max(this.#silenceMs, now - (this.#heardAt ?? now));
  }

  /** The longest silence since this was asked last, in ms. */
  takeSilence(): number {
    if (this.#open) this.#notice(performance.now());
    const silenceMs = this.#silenceMs;
    this.#silenceBefore = Math.max(this.#silenceBefore, silenceMs);
    this.#silenceMs = 0;
    return silenceMs;
  }

  /** The longest of the whole call. */
  get longestSilenceMs(): number {
    return Math.max(this.#silenceMs, this.#silenceBefore);
  }

  /** Says one more thing, and then nothing: all of it is to arrive. */
  async finish(): Promise<void> {
    if (this.failure !== undefined) return;
    const now = performance.now();
    if (this.#open) this.#notice(now);
    this.#listening = false;
    this.#unmute(now);
    if (!this.#speaking) this.#turn(now, this.page.samples);
    this.#turnAt = now + 400;
    this.#last = true;
    const said = () => !this.#speaking && performance.now() - this.#quietSince >= LAST_SILENCE_MS;
    while (this.failure === undefined && !said()) await new Promise((resolve) => setTimeout(resolve, 50));
    clearInterval(this.#timer);
    this.#mute();
  }

  hangUp(): void {
    clearInterval(this.#timer);
    this.page.finish();
    this.page.close(0, 'the caller hung up');
  }

  /** Nothing is under way any more. */
  get quiet(): boolean {
    const { page } = this;
    const upstream = this.#current;
    if (upstream === undefined || !upstream.isOpen || !page.attached) return false;
    return (
      upstream.position === page.samples &&
      page.receivedSamples === page.samples &&
      page.pendingEvents === 0 &&
      upstream.idle
    );
  }

  get whereItStands(): string {
    return whereStands(this.page, this.#current, this.failure);
  }

  /** Looks at what has to be whole once all is quiet. */
  checkWhole(): void {
    const upstream = this.#current;
    if (upstream === undefined) return;
    const { committed, position } = upstream;
    const open =
      committed === undefined || position === undefined ? undefined : { from: committed, to: position };
    this.microphone.checkWhole(upstream.items, open);
    this.answers.checkWhole(upstream.responses);
  }

  // What the page hears.

  ready(how: 'new' | 'attached' | 'restored', session: string, omittedItems: number): void {
    this.#heard();
    this.sessions.push(session);
    if (how !== 'new') this.#touch(omittedItems > 0 ? `${how}, ${omittedItems} items omitted` : how);
    this.#becomeReady();
  }

  anythingCame(): void {
    this.#heard();
  }

  #heard(): void {
    const now = performance.now();
    if (this.#listening && this.#open) this.#notice(now);
    this.#heardAt = now;
  }

  own(message: ServerMessage): void {
    if (message.type === 'parley.playback.clear') this.answers.cut(message.responseIds);
  }

  checkpoint(): void {}

  rewound(): void {
    this.#touch('fresh upstream');
  }

  event(message: Message): void {
    const [, number] = /^event_(\d+)_/.exec(String(message.event_id)) ?? [];
    const upstream = number === undefined ? undefined : this.#upstreams.get(Number(number));
    if (upstream !== undefined) this.#current = upstream;
  }

  answerBegins(): void {}

  answer({ itemId }: AnswerHeader, octets: Uint8Array): void {
    this.answers.audio(itemId, octets);
  }

  answerEnds({ itemId }: AnswerHeader, complete: boolean): void {
    this.answers.ended(itemId, complete);
  }

  brokenOff(): void {}

  reconnecting(): void {
    this.#touch('no network');
  }

  failed(reason: string): void {
    this.failure = reason;
    this.#touch('lost');
    clearInterval(this.#timer);
    this.#becomeReady();
  }

  #touch(what: string): void {
    this.touches.push({ at: performance.timeOrigin + performance.now(), what });
  }

  // What upstreams hear and say.

  get heardUpTo(): number {
    return this.microphone.heardUpTo;
  }

  audio(upstream: ModelUpstream, values: Uint16Array, at: number | undefined): void {
    const { microphone } = this;
    this.#upstreams.set(upstream.number, upstream);
    // One that hears only silence says nothing to the page.
    if (this.#current === undefined || upstream.number > this.#current.number) this.#current = upstream;
    const before = microphone.heardUpTo;
    microphone.audio(upstream.number, values, at);
    if (microphone.heardUpTo === before || !this.#listening) return;
    const begun = this.#stretches.findLast(({ sample }) => sample <= before);
    const saidAt = begun === undefined ? performance.now() : begun.at + (before - begun.sample) / PER_MS;
    const waitedMs = performance.now() - saidAt;
    if (waitedMs > this.lateMs + 1000) this.#touch(`a sample waited ${(waitedMs / 1000).toFixed(1)} s`);
    this.lateMs = Math.max(this.lateMs, waitedMs);
  }

  response(_: ModelUpstream, response: ModelResponse): void {
    this.answers.begins(response);
  }

  nextAnswer(): { samples: number; tag: number; tool: boolean } {
    const samples = this.#random.pick([12_001, 40_000, 120_000]);
    return { samples, tag: 1 + (this.#answers++ % ANSWER_TAGS), tool: false };
  }
}
