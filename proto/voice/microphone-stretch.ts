import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import { type MicrophoneHeader, MicrophoneHeaderDecoder } from './headers.ts';
import type { MicrophoneCodec } from './messages.ts';
import { OPUS_CODEC } from './opus-framing.ts';
import { type OpusDecoding, OpusStretch } from './opus-stretch.ts';
import { PcmAligner } from './pcm.ts';

/** One microphone stream: octets go in, whole samples come out, whatever the codec. */
export class MicrophoneStretch {
  readonly #decoder = new MicrophoneHeaderDecoder();
  readonly #aligner = new PcmAligner();
  /** Audio that was not made into samples: it came with the header, or before the stretch's turn. */
  readonly #waiting: Uint8Array[] = [];
  #opus: OpusStretch | undefined;
  #decoding: OpusDecoding | undefined;
  #packetsWait = false;
  /** The stream has ended with its FIN. */
  ended = false;
  /** Samples at its front that are still to come and are to be left out. */
  runIn = 0;

  /** Its header, once it is whole. */
  get header(): MicrophoneHeader | undefined {
    return this.#decoder.header;
  }

  get codec(): MicrophoneCodec {
    return this.header?.codec ?? 'pcm16';
  }

  /** Ordered events that go before its audio. */
  get orderedEvents(): number {
    return this.header?.orderedEvents ?? 0;
  }

  /** Whether `next` may give more without further octets. */
  get waits(): boolean {
    return this.#waiting.length > 0 || this.#packetsWait;
  }

  /** Whether it is Opus and `next` can give nothing before `decodeWith`. */
  get wantsDecoder(): boolean {
    return this.#opus !== undefined && this.#decoding === undefined;
  }

  decodeWith(decoding: OpusDecoding): void {
    this.#decoding = decoding;
  }

  /** Takes octets, by reference, and gives how many of them are audio. Throws `VoiceProtocolError` for a malformed header. */
  push(octets: Uint8Array): number {
    const known = this.header !== undefined;
    const audio = this.#decoder.push(octets);
    const { header } = this;
    if (!known) this.runIn = header?.runIn ?? 0;
    if (!known && header?.codec === OPUS_CODEC)
      this.#opus = new OpusStretch(header.lookAhead ?? 0, header.runIn ?? 0);
    if (audio.length > 0) this.#waiting.push(audio);
    return audio.length;
  }

  /** The next whole samples, of one packet where it is Opus; empty when there are none among them, undefined when nothing waits. */
  next(): Uint8Array | undefined {
    if (this.#opus === undefined) {
      const audio = this.#waiting.shift();
      return audio && this.#aligner.push(audio);
    }
    if (this.#decoding === undefined) return undefined;
    for (const audio of this.#waiting.splice(0)) this.#opus.push(audio);
    const pcm = this.#opus.next(this.#decoding);
    this.#packetsWait = pcm !== undefined;
    return pcm;
  }

  /** It was handed on to its end. Throws `VoiceProtocolError` when that is no end of whole samples. */
  finish(): void {
    this.free();
    this.#opus?.end();
    if (this.#aligner.pendingOctets > 0)
      throw new VoiceProtocolError(
        SessionCloseCode.MICROPHONE_BROKEN,
        'a microphone stream ended in the middle of a sample',
      );
  }

  /** Gives the decoder back. */
  free(): void {
    this.#decoding?.free();
    this.#decoding = undefined;
  }
}
