import {
  type AnswerCodec,
  type DownlinkMessage,
  type HelloMessage,
  OPUS_CODEC,
  type ReadyMessage,
  VOICE_CODEC,
} from '../proto/voice/index.ts';
import { AnswerChoice } from './answer-choice.ts';
import type { CodecOption } from './opus-choice.ts';
import { answerOffer, loadOpusDecoder, type OpusDecoderModule, takesOpus } from './opus-module.ts';
import type { Playback } from './playback.ts';

/** How answers come. */
export interface Downlink {
  /** The codec of the answer that came last. */
  readonly codec: AnswerCodec;
  /** Packets of answers that were no Opus, in whose place silence was heard. */
  readonly badPackets: number;
}

/** The codec of a call's answers, over all its sessions: what the page offers, what it asks for, what decodes. */
export class DownlinkCodec {
  readonly #option: CodecOption;
  readonly #choice: AnswerChoice;
  readonly #playback: Playback;
  readonly #tell: (message: DownlinkMessage) => void;
  #failed = false;
  /** The backend of the session sends Opus. */
  #sent = false;
  #codec: AnswerCodec = VOICE_CODEC;
  #badPackets = 0;

  constructor(
    { codec = 'auto', codecCalmMs }: { readonly codec?: CodecOption; readonly codecCalmMs?: number },
    playback: Playback,
    tell: (message: DownlinkMessage) => void,
  ) {
    this.#option = codec;
    this.#choice = new AnswerChoice(codecCalmMs);
    this.#playback = playback;
    this.#tell = tell;
  }

  get downlink(): Downlink {
    return { codec: this.#codec, badPackets: this.#badPackets };
  }

  get #usable(): boolean {
    return this.#option !== 'pcm' && !this.#failed && takesOpus();
  }

  /** What the hello says of answers. */
  get hello(): Pick<HelloMessage, 'answerCodecs' | 'answerCodec'> {
    return this.#failed ? {} : answerOffer(this.#option);
  }

  /** The backend of a session is ready. */
  ready({ answerCodecs }: ReadyMessage): void {
    this.#sent = this.#usable && answerCodecs?.includes(OPUS_CODEC) === true;
    if (this.#sent) void loadOpusDecoder();
    if (this.#sent && this.#choice.wanted === OPUS_CODEC) this.#say(OPUS_CODEC);
  }

  /** An answer's stream began. */
  began(codec: AnswerCodec): void {
    this.#codec = codec;
  }

  /** What decodes; undefined where the browser cannot, of which the backend is told. */
  async decoder(): Promise<OpusDecoderModule | undefined> {
    const module = this.#failed ? undefined : await loadOpusDecoder();
    if (module === undefined) this.undecodable();
    return module;
  }

  badPacket(): void {
    this.#badPackets += 1;
  }

  /** The browser does not decode what came: it is to come as PCM. */
  undecodable(): void {
    this.#failed = true;
    if (this.#sent) this.#say(VOICE_CODEC);
  }

  /** To be called a few times a second. */
  tick(now: number): void {
    if (!this.#sent || this.#failed || this.#option !== 'auto') return;
    const { flowingSince, bufferedMs } = this.#playback;
    const flow = flowingSince === undefined ? undefined : { ageMs: now - flowingSince, bufferedMs };
    if (this.#choice.update(flow, now)) this.#say(this.#choice.wanted);
  }

  #say(codec: AnswerCodec): void {
    this.#tell({ type: 'parley.downlink', codec, bufferedMs: Math.round(this.#playback.bufferedMs) });
  }
}
