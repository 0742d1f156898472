import { Queue } from '../wire/index.ts';
import { AppendRuns } from './append-runs.ts';
import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import type { MicrophoneHeader } from './headers.ts';
import { HeldEvents, MAX_HELD_OCTETS } from './held-events.ts';
import type { MicrophoneCodec } from './messages.ts';
import { MAX_WAITING_STRETCHES, MicrophoneOrder } from './microphone-order.ts';
import { MicrophoneStretch } from './microphone-stretch.ts';
import type { OpusDecoding } from './opus-stretch.ts';
import { OCTETS_PER_SAMPLE } from './pcm.ts';
import { Seam } from './seam.ts';

/** Microphone streams that may be open at once: the stretch that is read and those that wait for it. */
export const MAX_MICROPHONE_STREAMS = MAX_WAITING_STRETCHES + 1;
/** Opus packets that are decoded in one go: half a second of audio, a millisecond of work. */
const MAX_PACKETS_IN_ONE_GO = 25;

/** What goes to the upstream, in this order, and what is told to the page. */
export type MicrophoneOutput =
  /** 40 to 100 ms of whole samples; shorter before an event, and at the end of a stretch. */
  | { readonly type: 'append'; readonly pcm: Uint8Array }
  /** An event of the page, as the JSON it came as. */
  | { readonly type: 'event'; readonly json: string }
  /** A stretch has ended: so many samples arrived, of all stretches. */
  | { readonly type: 'received'; readonly samples: number };

/**
 * Puts what a page says and sends into one order for the upstream. The control stream and the microphone's streams overtake
 * each other: an ordered event waits for the samples before it, later events wait behind it, a stretch waits for the one before
 * it and for the ordered events that were sent before it began. Every sample comes out exactly once.
 *
 * Octets and events go in, `poll` gives what comes out, `wants` says which streams may be read. Nothing is let out of order
 * for want of time: `check` finds a wait in vain. Inputs throw `VoiceProtocolError` when the page broke the protocol.
 */
export class MicrophoneMachine {
  #order = new MicrophoneOrder<MicrophoneStretch>();
  readonly #streams = new Map<number, MicrophoneStretch>();
  readonly #runs = new AppendRuns();
  readonly #seam = new Seam();
  readonly #held = new HeldEvents();
  readonly #outputs = new Queue<MicrophoneOutput>();
  #current: MicrophoneStretch | undefined;
  #handedOn = 0;
  #released = 0;
  #rewind = 0;
  #resend = 0;
  /** Samples at the front of what is sent again that had arrived. */
  #surplus = 0;
  /** The page gave a stream up and will send again. */
  #awaitsResend = false;
  #codec: MicrophoneCodec = 'pcm16';
  #savedOctets = 0;
  #acknowledged = 0;
  #upstreamReady = true;
  #progress = 0;
  #progressSeen = 0;
  #progressAt = 0;

  /** Samples of all stretches that arrived in order. */
  get receivedSamples(): number {
    return this.#order.samples + this.#surplus;
  }

  /** Codec of the newest audio. */
  get codec(): MicrophoneCodec {
    return this.#codec;
  }

  /** Octets that Opus saved so far, against PCM. */
  get savedOctets(): number {
    return Math.max(0, this.#savedOctets);
  }

  /** Samples that went out as `append`. */
  get samples(): number {
    return this.#handedOn;
  }

  /** Streams that were opened and have not been handed on to their end. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Whether so much is held that the control stream should not be read before audio has come. */
  get holdsMuch(): boolean {
    return this.#held.octets >= MAX_HELD_OCTETS;
  }

  /** Whether audio waits because the upstream takes none. */
  get stalled(): boolean {
    return !this.#upstreamReady && this.#streams.size > 0;
  }

  /** Whether the stream should be read now; one that is not read is stopped by flow control. */
  wants(stream: number): boolean {
    const stretch = this.#streams.get(stream);
    if (stretch === undefined || stretch.ended) return false;
    if (stretch.header === undefined) return true;
    return this.#turnOf(stretch) && this.#upstreamReady && !stretch.waits;
  }

  /** Whether the stream is Opus: what comes of it is there later than its octets. */
  decodes(stream: number): boolean {
    return this.#streams.get(stream)?.codec === 'opus';
  }

  /** Whether the stream is Opus and has no decoder yet. */
  wantsDecoder(stream: number): boolean {
    return this.#streams.get(stream)?.wantsDecoder ?? false;
  }

  /** A decoder in its first state, for this stream; it is freed when the stream is over. */
  giveDecoder(stream: number, decoding: OpusDecoding): void {
    const stretch = this.#streams.get(stream);
    if (stretch === undefined) decoding.free();
    else stretch.decodeWith(decoding);
    this.#advance();
  }

  /** Whether packets of this stream wait that may be decoded now: call `decodeMore`. */
  undecoded(stream: number): boolean {
    const stretch = this.#streams.get(stream);
    return stretch !== undefined && this.#turnOf(stretch) && this.#upstreamReady && stretch.waits;
  }

  /** Decodes some of what waits; not all at once, as little may be much. */
  decodeMore(): void {
    this.#advance();
  }

  #turnOf(stretch: MicrophoneStretch): boolean {
    return stretch === this.#current && stretch.orderedEvents <= this.#released;
  }

  /** A unidirectional stream began; `stream` is any number that stands for it. */
  open(stream: number): void {
    if (this.#streams.size >= MAX_MICROPHONE_STREAMS) {
      throw new VoiceProtocolError(
        SessionCloseCode.TOO_MANY_STREAMS,
        `more than ${MAX_MICROPHONE_STREAMS} microphone streams are open`,
      );
    }
    this.#streams.set(stream, new MicrophoneStretch());
  }

  /** Octets of a stream, in order. They are kept by reference until they come out. */
  receive(stream: number, octets: Uint8Array): void {
    const stretch = this.#streams.get(stream);
    if (stretch === undefined) return;
    const known = stretch.header !== undefined;
    const audioOctets = stretch.push(octets);
    const { header } = stretch;
    if (header === undefined) return;
    if (!known) {
      if ((header.rewind ?? 0) !== this.#rewind || !this.#isNewest(header.resend, stream, stretch)) {
        this.#streams.delete(stream);
        return;
      }
      this.#order.offer(header, stretch);
    }
    if (stretch.codec === 'opus') this.#savedOctets -= audioOctets;
    this.#advance();
  }

  /** Whether a stream belongs to what the page sends now. A later resend puts an end to every stream before it. */
  #isNewest(resend: MicrophoneHeader['resend'], stream: number, stretch: MicrophoneStretch): boolean {
    if (resend === undefined || resend.number <= this.#resend) return (resend?.number ?? 0) === this.#resend;
    const received = this.receivedSamples;
    if (resend.from > received)
      throw new VoiceProtocolError(
        SessionCloseCode.MICROPHONE_BROKEN,
        `a microphone stream goes on at sample ${resend.from}, but only ${received} came`,
      );
    const events = this.#released;
    // Those whose headers have not come may be of this resend too.
    const unknown = [...this.#streams].filter(([, { header }]) => header === undefined);
    for (const [id] of [...unknown, [stream] as const]) this.#streams.delete(id);
    this.#restart(resend.from, this.#rewind);
    for (const [id, other] of [...unknown, [stream, stretch] as const]) this.#streams.set(id, other);
    this.#released = events;
    this.#resend = resend.number;
    this.#surplus = received - resend.from;
    this.#acknowledged = received;
    return true;
  }

  /** The stream ended with its FIN. */
  end(stream: number): void {
    const stretch = this.#streams.get(stream);
    if (stretch === undefined) return;
    if (stretch.header === undefined) {
      throw new VoiceProtocolError(SessionCloseCode.MALFORMED, 'a microphone stream ended in its header');
    }
    stretch.ended = true;
    this.#advance();
  }

  /** The page gave the stream up (`StreamCode.CANCELLED`): the rest comes again in others. */
  abandoned(stream: number): void {
    const stretch = this.#streams.get(stream);
    if (stretch === undefined) return;
    this.#awaitsResend = true;
    stretch.free();
    this.#streams.delete(stream);
    if (stretch === this.#current) this.#current = undefined;
  }

  /** The stream broke off: samples are lost, so this throws, but for one that may have been begun before a rewind and been given up. */
  reset(stream: number, reason: string): void {
    const stretch = this.#streams.get(stream);
    this.#streams.delete(stream);
    // Its header, which would say so, may have been lost with it. One that is missed is noticed by `check`, or as its successor comes.
    if (this.#rewind > 0 && stretch?.header === undefined) return;
    throw new VoiceProtocolError(
      SessionCloseCode.MICROPHONE_BROKEN,
      `a microphone stream broke off before its end: ${reason}`,
    );
  }

  /**
   * An event of the page, as JSON; undefined for one that was refused and only counts. With `samples` it waits for as many;
   * without, it goes out at once when nothing is held.
   */
  event(json: string | undefined, samples?: number): void {
    this.#held.push(json, samples);
    this.#advance();
  }

  /** Whether the upstream takes more audio now. */
  setUpstreamReady(ready: boolean): void {
    this.#upstreamReady = ready;
  }

  /** The next thing to do; undefined when there is none. Call until then after each input. */
  poll(): MicrophoneOutput | undefined {
    return this.#outputs.shift();
  }

  /** Samples that arrived, when more did since this or a `received` said so last; undefined otherwise. */
  takeAcknowledgement(): number | undefined {
    if (this.receivedSamples === this.#acknowledged) return undefined;
    this.#acknowledged = this.receivedSamples;
    return this.#acknowledged;
  }

  /** Lets out what is gathered, however short: nothing more is to come. */
  flush(): void {
    this.#runs.flush(this.#append);
  }

  /**
   * To be called now and then. Throws when something has waited for `timeoutMs` and nothing moved: the page announced audio,
   * or an event, that it never sent. An upstream that takes nothing is no fault of the page.
   */
  check(now: number, timeoutMs: number): void {
    const stretch = this.#current;
    const stretchWaits = stretch !== undefined && stretch.orderedEvents > this.#released;
    const waits = this.#held.size > 0 || stretchWaits || this.#awaitsResend;
    if (!waits || this.stalled || this.#progress !== this.#progressSeen) {
      this.#progressSeen = this.#progress;
      this.#progressAt = now;
      return;
    }
    if (now - this.#progressAt < timeoutMs) return;
    const { first } = this.#held;
    let what = `an ordered event waits for sample ${first?.samples}, but ${this.#handedOn} came`;
    if (this.#awaitsResend) what = 'a microphone stream was given up, but nothing came in its place';
    else if (first?.samples === undefined)
      what = `a microphone stretch waits for ordered event ${stretch?.orderedEvents}, but ${this.#released} came`;
    throw new VoiceProtocolError(SessionCloseCode.MICROPHONE_BROKEN, `${what} in ${timeoutMs} ms`);
  }

  /** Whether the stream is one that still counts: not of an earlier session or rewind, and not handed on to its end. */
  knows(stream: number): boolean {
    return this.#streams.has(stream);
  }

  /**
   * Another session goes on behind what arrived: its stretches and ordered events are counted from 0. What is held stays held;
   * what had not come in order is forgotten, as the page sends it again. Call `poll` afterwards.
   */
  nextSession(): void {
    this.flush();
    this.#restart(this.receivedSamples, 0);
    this.#resend = 0;
    this.#held.nextSession();
  }

  /** The page sends everything again from this sample on; streams of another `rewind` are not read. */
  sendAgainFrom(sample: number, rewind: number): void {
    this.#runs.clear();
    this.#seam.clear();
    this.#outputs.clear();
    this.#held.clear();
    this.#handedOn = sample;
    this.#restart(sample, rewind);
  }

  #restart(sample: number, rewind: number): void {
    this.#order = new MicrophoneOrder<MicrophoneStretch>(0, sample);
    this.#clearStreams();
    this.#surplus = 0;
    this.#awaitsResend = false;
    this.#released = 0;
    this.#rewind = rewind;
    this.#acknowledged = sample;
    this.#progress += 1;
  }

  /** Forgets everything that waits. */
  clear(): void {
    this.#order.clear();
    this.#clearStreams();
    this.#held.clear();
  }

  #clearStreams(): void {
    for (const stretch of this.#streams.values()) stretch.free();
    this.#streams.clear();
    this.#current = undefined;
  }

  #advance(): void {
    for (;;) {
      this.#releaseEvents();
      if (this.#awaitsResend) return;
      this.#current ??= this.#order.begin();
      const stretch = this.#current;
      if (stretch === undefined || stretch.orderedEvents > this.#released) return;
      this.#take(stretch);
      if (stretch.ended && !stretch.waits) this.#finish(stretch);
      else {
        this.#releaseEvents();
        return;
      }
    }
  }

  /** PCM as it came; of Opus no more than may be decoded in one go, and nothing while the upstream takes nothing. */
  #take(stretch: MicrophoneStretch): void {
    for (let n = 0; stretch.codec === 'pcm16' || (n < MAX_PACKETS_IN_ONE_GO && this.#upstreamReady); n++) {
      const pcm = stretch.next();
      if (pcm === undefined) return;
      if (pcm.length === 0) continue;
      this.#progress += 1;
      this.#codec = stretch.codec;
      this.#deliver(stretch, pcm, pcm.length / OCTETS_PER_SAMPLE);
    }
  }

  #deliver(stretch: MicrophoneStretch, pcm: Uint8Array, samples: number): void {
    const runIn = Math.min(stretch.runIn, samples);
    const known = Math.min(this.#surplus, samples - runIn);
    stretch.runIn -= runIn;
    this.#surplus -= known;
    this.#order.advance(samples - runIn);
    if (stretch.codec === 'opus') this.#savedOctets += pcm.length;
    const leftOut = (runIn + known) * OCTETS_PER_SAMPLE;
    if (leftOut > 0) this.#seam.follows(pcm.subarray(0, leftOut));
    if (leftOut === pcm.length) return;
    this.#runs.push(this.#seam.join(leftOut === 0 ? pcm : pcm.subarray(leftOut)), this.#append);
  }

  #finish(stretch: MicrophoneStretch): void {
    this.#runs.flush(this.#append);
    for (const [stream, open] of this.#streams) if (open === stretch) this.#streams.delete(stream);
    this.#current = undefined;
    this.#order.finish();
    this.#progress += 1;
    stretch.finish();
    this.#acknowledged = this.receivedSamples;
    this.#outputs.push({ type: 'received', samples: this.receivedSamples });
  }

  #releaseEvents(): void {
    for (let first = this.#held.first; first !== undefined; first = this.#held.first) {
      const { samples, json, earlier } = first;
      if (samples !== undefined && samples > this.receivedSamples) return;
      // What it waits for has arrived: it is not kept back to be gathered with more.
      if (samples !== undefined && samples > this.#handedOn) this.#runs.flush(this.#append);
      this.#held.shift();
      this.#progress += 1;
      if (json !== undefined) this.#outputs.push({ type: 'event', json });
      if (samples !== undefined && !earlier) this.#released += 1;
    }
  }

  /** Bound once: this runs for every run of audio. */
  readonly #append = (pcm: Uint8Array): void => {
    this.#handedOn += pcm.length / OCTETS_PER_SAMPLE;
    this.#outputs.push({ type: 'append', pcm });
  };
}
