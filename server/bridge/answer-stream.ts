import {
  type AnswerHeader,
  type AnswerPart,
  AudioLog,
  encodeHeader,
  OCTETS_PER_SAMPLE,
  PcmAligner,
  SAMPLE_RATE,
  StreamCode,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import type { SendStream } from '../webtransport/types.ts';
import { StreamSender } from './stream-sender.ts';

/** What a piece of audio that waits costs beside its octets. */
const PIECE_OVERHEAD_OCTETS = 128;
/** Octets of the pieces in which audio is sent that a page lacks. */
const RESENT_PIECE_OCTETS = 16 << 10;

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
  #handedOn = 0;
  #ended = false;
  #over = false;
  #keptOctets = 0;

  constructor(part: Part, number: number, host: AnswerStreamHost) {
    this.part = part;
    this.number = number;
    this.#host = host;
  }

  /** Sends it in a session: what is kept of it from `firstSample` on, then what comes. */
  carry(open: () => Promise<SendStream>, firstSample: number): void {
    this.uncarry();
    const from = Math.max(firstSample, this.#log.first);
    let at = from;
    const sender = new StreamSender(open, {
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
    this.#sender = sender;
    const { responseId, itemId, contentIndex, outputIndex } = this.part;
    const header: AnswerHeader = {
      type: 'parley.answer',
      responseId,
      itemId,
      contentIndex,
      outputIndex,
      answer: this.number,
      firstSample: from,
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
    };
    sender.push(encodeHeader(header));
    for (let sample = from; sample < this.#log.end; ) {
      const octets = this.#log.read(sample, RESENT_PIECE_OCTETS);
      const samples = octets.length / OCTETS_PER_SAMPLE;
      sender.push(octets, samples);
      sample += samples;
    }
    if (this.#ended) sender.end();
  }

  /** No session carries it now. */
  uncarry(): void {
    this.#sender?.abort(StreamCode.SESSION_CLOSED);
    this.#sender = undefined;
  }

  /** Whole samples, which it may keep. */
  push(octets: Uint8Array): void {
    if (this.#ended) return;
    this.#keep(octets.length + PIECE_OVERHEAD_OCTETS);
    this.#log.push(octets);
    this.#sender?.push(octets, octets.length / OCTETS_PER_SAMPLE);
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    this.#sender?.end();
  }

  /** The page has so many samples of it. True when it needs no more of it. */
  received(samples: number, ended: boolean): boolean {
    const before = this.#log.first;
    this.#log.release(samples);
    const released = (this.#log.first - before) * OCTETS_PER_SAMPLE;
    // The cost of the pieces goes with the octets; what is rounded away goes at the end.
    const left = (this.#log.end - this.#log.first) * OCTETS_PER_SAMPLE;
    const share = left === 0 ? this.#keptOctets : Math.min(this.#keptOctets, released);
    this.#keep(-share);
    return ended;
  }

  /** It is not needed any more; what was not handed to a transport never will be. */
  drop(code: StreamCode): void {
    if (this.#over) return;
    this.#over = true;
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
