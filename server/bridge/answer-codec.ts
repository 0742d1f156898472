import {
  type AnswerCodec,
  type DownlinkMessage,
  type HelloMessage,
  type MicrophoneCodec,
  OPUS_CODEC,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';

/** Packets lost, of those sent since the figures began, from which on answers begin as Opus: a share, and at least so many. */
const LOSSY_SHARE = 0.08;
const LOSSY_PACKETS = 3;
/** Below this share they begin as PCM again. */
const CALM_SHARE = 0.03;
/** Seconds of figures that are looked at. */
const WINDOW = 15;

interface Figures {
  readonly packetsSent: number;
  readonly packetsLost: number;
}

/**
 * Chooses the codec of a call's answers. The page's word counts; until it has said one, answers begin as Opus where the network is known to be
 * bad: packets are lost, or the page's microphone found it too thin. It reads no clock.
 */
export class AnswerCodecChoice {
  #taken = false;
  #always: AnswerCodec | undefined;
  #wanted: AnswerCodec | undefined;
  #microphone: MicrophoneCodec = VOICE_CODEC;
  #lossy = false;
  #figures: Figures[] = [];

  /** The codec of answers that begin now. */
  get codec(): AnswerCodec {
    if (!this.#taken) return VOICE_CODEC;
    const { wanted } = this;
    if (wanted !== undefined) return wanted;
    return this.#lossy || this.#microphone === OPUS_CODEC ? OPUS_CODEC : VOICE_CODEC;
  }

  /** What the page said. */
  get wanted(): AnswerCodec | undefined {
    return this.#wanted ?? this.#always;
  }

  /** A session carries the call, and its page takes `codecs`. */
  carriedBy({ answerCodecs, answerCodec }: Pick<HelloMessage, 'answerCodecs' | 'answerCodec'>): void {
    this.#taken = answerCodecs?.includes(OPUS_CODEC) === true;
    this.#always = answerCodec;
    this.#wanted = undefined;
    this.#figures = [];
    this.#lossy = false;
  }

  /** The page asks for another codec. */
  downlink({ codec }: DownlinkMessage): void {
    this.#wanted = codec;
  }

  /** The page's microphone sends in this codec, as the network makes it. */
  microphone(codec: MicrophoneCodec): void {
    this.#microphone = codec;
  }

  /** Figures of the connection, each second. */
  network({ packetsSent, packetsLost }: Figures): void {
    // A page that takes PCM alone has nothing to be chosen for.
    if (!this.#taken) return;
    this.#figures.push({ packetsSent, packetsLost });
    if (this.#figures.length > WINDOW) this.#figures.shift();
    const first = this.#figures[0]!;
    const sent = packetsSent - first.packetsSent;
    const lost = packetsLost - first.packetsLost;
    if (sent <= 0) return;
    if (lost >= LOSSY_PACKETS && lost / sent >= LOSSY_SHARE) this.#lossy = true;
    else if (lost / sent < CALM_SHARE) this.#lossy = false;
  }
}
