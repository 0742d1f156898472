import {
  type AnswerCodec,
  type AnswerHeader,
  type AnswerPart,
  AudioLog,
  encodeHeader,
  OCTETS_PER_SAMPLE,
  OPUS_CODEC,
  PcmAligner,
  RUN_IN_SAMPLES,
  SAMPLE_RATE,
  StreamCode,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import type { SendStream } from '../webtransport/types.ts';
import { AnswerOpus } from './answer-opus.ts';
import { StreamSender } from './stream-sender.ts';

/** What a piece of audio that waits costs beside its octets. */
const PIECE_OVERHEAD_OCTETS = 128;
/** Octets of the pieces in which audio is sent that a page lacks. */
const RESENT_PIECE_OCTETS = 16 << 10;

/** Times that one answer changes its codec on its way: a page that asks for more gets what it has. */
const MAX_RECODINGS = 16;

/** One audio part of a response item. */
export interface Part extends AnswerPart {
  readonly outputIndex: number;
}

/** What an answer stream needs of its owner. */
export interface AnswerStreamHost {
  /** So much more is kept for the page, or less when below 0: octets, with what keeping them costs. */
  queued(octets: number): void;
  /** Samples were handed to a transport for the first time. */
  sent(stream: AnswerStream, samples: number): void;
  /** Samples will never be handed to one. */
  dropped(samples: number): void;
  /** Opus took so many octets fewer than PCM. */
  saved(octets: number): void;
}

/** The audio of one part of an answer, kept until the page has it, whichever sessions carry it. */
export class AnswerStream {
  readonly part: Part;
  /** Its number in the call. */
  readonly number: number;
  readonly aligner = new PcmAligner();
  readonly #host: AnswerStreamHost;
  readonly #log = new AudioLog();
  #sender: StreamSender | undefined;
  /** Writes to the sender, where the answer goes as Opus. */
  #opus: AnswerOpus | undefined;
  #codec: AnswerCodec = VOICE_CODEC;
  #carriages = 0;
  #recodings = 0;
  /** Samples that the page has. */
  #acknowledged = 0;
  #handedOn = 0;
  #ended = false;
  #over = false;
  #keptOctets = 0;

  constructor(part: Part, number: number, host: AnswerStreamHost) {
    this.part = part;
    this.number = number;
    this.#host = host;
  }

  /** The codec in which it was sent last. */
  get codec(): AnswerCodec {
    return this.#codec;
  }

  /** Samples that came and that the page does not have, as far as it said. */
  get unacknowledgedSamples(): number {
    return this.#log.end - this.#acknowledged;
  }

  /** Sends it in another codec from what the page has on; what is under way in this one is given up. Not without end. */
  recode(open: () => Promise<SendStream>, codec: AnswerCodec): void {
    if (this.#recodings >= MAX_RECODINGS) return;
    this.#recodings += 1;
    this.carry(open, this.#acknowledged, codec);
  }

  /** Sends it in a session: what is kept of it from `firstSample` on, which the page has so far, then what comes. */
  carry(open: () => Promise<SendStream>, firstSample: number, codec: AnswerCodec): void {
    this.uncarry();
    // Where one coding follows another, an encoder runs in, and the page sees by how much they differ.
    const runIn = codec === OPUS_CODEC || this.#codec === OPUS_CODEC ? RUN_IN_SAMPLES : 0;
    this.#codec = codec;
    const from = Math.max(firstSample - runIn, this.#log.first);
    const sender = this.#newSender(open, from);
    this.#sender = sender;
    if (codec === OPUS_CODEC) this.#sendOpus(open, sender, from);
    else this.#sendPcm(sender, from);
  }

  #newSender(open: () => Promise<SendStream>, from: number): StreamSender {
    let at = from;
    return new StreamSender(open, {
      taken: (_, samples) => {
        at += samples;
        if (at <= this.#handedOn) return;
        const fresh = at - this.#handedOn;
        this.#handedOn = at;
        this.#host.sent(this, fresh);
      },
      // What was not handed on is still kept, for the next session; a cut counts it.
      dropped: () => undefined,
    });
  }

  #header(firstSample: number, codec: Pick<AnswerHeader, 'codec' | 'lookAhead'>): Uint8Array {
    const carriage = this.#carriages++;
    const { responseId, itemId, contentIndex, outputIndex } = this.part;
    const header: AnswerHeader = {
      type: 'parley.answer',
      responseId,
      itemId,
      contentIndex,
      outputIndex,
      answer: this.number,
      firstSample,
      ...(carriage > 0 && { carriage }),
      ...codec,
      rate: SAMPLE_RATE,
    };
    return encodeHeader(header);
  }

  #sendPcm(sender: StreamSender, from: number): void {
    sender.push(this.#header(from, { codec: VOICE_CODEC }));
    for (let sample = from; sample < this.#log.end; ) {
      const octets = this.#log.read(sample, RESENT_PIECE_OCTETS);
      const samples = octets.length / OCTETS_PER_SAMPLE;
      sender.push(octets, samples);
      sample += samples;
    }
    if (this.#ended) sender.end();
  }

  #sendOpus(open: () => Promise<SendStream>, sender: StreamSender, from: number): void {
    this.#opus = new AnswerOpus({
      log: this.#log,
      from,
      sender,
      ended: () => this.#ended,
      begins: (lookAhead) => sender.push(this.#header(from, { codec: OPUS_CODEC, lookAhead })),
      saved: (octets) => this.#host.saved(octets),
      failed: () => this.recode(open, VOICE_CODEC),
    });
  }

  /** No session carries it now. */
  uncarry(): void {
    this.#opus?.stop();
    this.#opus = undefined;
    this.#sender?.abort(StreamCode.SESSION_CLOSED);
    this.#sender = undefined;
  }

  /** Whole samples, which it may keep. */
  push(octets: Uint8Array): void {
    if (this.#ended) return;
    this.#keep(octets.length + PIECE_OVERHEAD_OCTETS);
    this.#log.push(octets);
    if (this.#opus !== undefined) this.#opus.wake();
    else this.#sender?.push(octets, octets.length / OCTETS_PER_SAMPLE);
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    if (this.#opus !== undefined) this.#opus.wake();
    else this.#sender?.end();
  }

  /** The page has so many samples of it. True when it needs no more of it. */
  received(samples: number, ended: boolean): boolean {
    const before = this.#acknowledged;
    this.#acknowledged = Math.max(before, Math.min(samples, this.#log.end));
    // An encoder that goes on from here hears a little of what was before.
    this.#log.release(this.#acknowledged - RUN_IN_SAMPLES);
    const released = (this.#acknowledged - before) * OCTETS_PER_SAMPLE;
    // The cost of the pieces goes with the octets; what is rounded away goes at the end.
    const share = this.unacknowledgedSamples === 0 ? this.#keptOctets : Math.min(this.#keptOctets, released);
    this.#keep(-share);
    return ended;
  }

  /** It is not needed any more; what was not handed to a transport never will be. */
  drop(code: StreamCode): void {
    if (this.#over) return;
    this.#over = true;
    this.#opus?.stop();
    this.#opus = undefined;
    this.#sender?.abort(code);
    this.#keep(-this.#keptOctets);
    const never = this.#log.end - this.#handedOn;
    if (never > 0) this.#host.dropped(never);
  }

  #keep(octets: number): void {
    this.#keptOctets += octets;
    this.#host.queued(octets);
  }
}
