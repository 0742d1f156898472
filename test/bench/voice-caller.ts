import {
  AnswerHeaderDecoder,
  encodeHeader,
  encodeMessage,
  isNumbered,
  MessageDecoder,
  type MicrophoneCodec,
  OPUS_CODEC,
  OpusReader,
  SAMPLE_RATE,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../proto/voice/index.ts';
import { FRAME_OCTETS } from './callers.ts';

/** A caller's side of the voice protocol, over QUIC or TCP, as far as a benchmark needs it. */

const LOOK_AHEAD_SAMPLES = 60;
/** A page acknowledges what it received that often, in ms. */
export const REPORT_MS = 250;

/** A caller's first message. */
export function encodeHello(codec: MicrophoneCodec): Uint8Array {
  const opus = codec === OPUS_CODEC;
  const codecs = opus ? [VOICE_CODEC, OPUS_CODEC] : [VOICE_CODEC];
  const answers = opus ? { answerCodecs: codecs, answerCodec: OPUS_CODEC } : {};
  const hello = { type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs, ...answers };
  return encodeMessage(hello);
}

/** What the microphone's stream begins with. */
export function encodeMicrophoneHeader(codec: MicrophoneCodec): Uint8Array {
  const header = { type: 'parley.microphone', stretch: 0, firstSample: 0, startMs: 0 } as const;
  const lookAhead = codec === OPUS_CODEC ? LOOK_AHEAD_SAMPLES : 0;
  return encodeHeader({ ...header, codec, lookAhead, rate: SAMPLE_RATE });
}

/** What a caller received: messages, and one answer that goes on and on. */
export class Received {
  readonly #messages = new MessageDecoder();
  readonly #header = new AnswerHeaderDecoder();
  readonly #packets = new OpusReader();
  #numbered = 0;
  #answerOctets = 0;
  /** Messages and octets that were acknowledged. */
  #acknowledged = 0;

  /** Octets of the control stream. Whether the call is ready, by one of their messages. */
  takeControl(data: Uint8Array): boolean {
    let ready = false;
    this.#messages.push(data);
    for (let next = this.#messages.next(); next !== undefined; next = this.#messages.next()) {
      if (isNumbered(next)) this.#numbered += 1;
      if (next.type === 'parley.ready') ready = true;
    }
    return ready;
  }

  /** Octets of the answer's stream. How many octets of PCM they are. */
  takeAnswer(data: Uint8Array): number {
    const octets = this.#pcmOctets(this.#header.push(data));
    this.#answerOctets += octets;
    return octets;
  }

  #pcmOctets(audio: Uint8Array): number {
    if (this.#header.header?.codec !== OPUS_CODEC) return audio.length;
    this.#packets.push(audio);
    let octets = 0;
    while (this.#packets.next() !== undefined) octets += FRAME_OCTETS;
    return octets;
  }

  /** As a page says it, so that the backend forgets what it keeps for a page that comes back; undefined when nothing is new. */
  acknowledge(): Uint8Array | undefined {
    const received = this.#numbered + this.#answerOctets;
    if (received === this.#acknowledged) return undefined;
    this.#acknowledged = received;
    const { header } = this.#header;
    const samples = Math.floor(this.#answerOctets / 2);
    const answers = header === undefined ? [] : [{ answer: header.answer, samples, ended: false }];
    const message = { type: 'parley.received', messages: this.#numbered, answers };
    return encodeMessage(message);
  }
}
