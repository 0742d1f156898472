import {
  OCTETS_PER_SAMPLE,
  OPUS_PACKET_SAMPLES,
  OpusReader,
  opusPacketFault,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { OpusDecoderModule } from './opus-module.ts';

/**
 * Makes the samples of an answer's stream out of its Opus packets: exactly those that the stream stands for. Each packet is 480 samples,
 * silence where it is no Opus; the encoder's look-ahead is left out at the front, and the last packet is cut at the stream's total.
 */
export class AnswerOpus {
  readonly #reader = new OpusReader();
  readonly #decoder: InstanceType<OpusDecoderModule['OpusDecoder']>;
  readonly #samples: (octets: Uint8Array) => void;
  readonly #lookAhead: number;
  #packets = 0;
  #frames = 0;
  #total: number | undefined;

  /** `samples` is given them as PCM, in order; `fault` is told of each packet that is none. */
  constructor(
    { OpusDecoder }: OpusDecoderModule,
    lookAhead: number,
    samples: (octets: Uint8Array) => void,
    fault: () => void,
  ) {
    this.#lookAhead = lookAhead;
    this.#samples = samples;
    this.#decoder = new OpusDecoder({ frame: (frame) => this.#frame(frame), fault });
  }

  /** Too much of it was no Opus: nothing more of it will come. */
  get failed(): boolean {
    return this.#decoder.failed;
  }

  /** Takes octets of the stream. Throws `VoiceProtocolError` for what is no entry of one. */
  push(octets: Uint8Array): void {
    this.#reader.push(octets);
    for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
      const given = this.#behind(this.#packets);
      if ('totalSamples' in entry) {
        if (this.#total !== undefined || entry.totalSamples < given)
          throw malformed(`says that it has ${entry.totalSamples} samples, behind ${this.#total ?? given}`);
        this.#total = entry.totalSamples;
        continue;
      }
      if (this.#total !== undefined && given >= this.#total)
        throw malformed('goes on behind its last sample');
      this.#packets += 1;
      if (opusPacketFault(entry.packet) === undefined) this.#decoder.decode(entry.packet);
      else this.#decoder.skip();
    }
  }

  /** Fulfils when more octets may be given. */
  room(): Promise<void> {
    return this.#decoder.room();
  }

  /** Fulfils when the samples of all packets so far were given. */
  settled(): Promise<void> {
    return this.#decoder.flush();
  }

  /** The stream ended: fulfils when all its samples were given. Rejects with `VoiceProtocolError` when they are not all there. */
  async end(): Promise<void> {
    if (this.#reader.bufferedOctets > 0) throw malformed('ended in the middle of a packet');
    const given = this.#behind(this.#packets);
    if (this.#total === undefined || given < this.#total)
      throw malformed(`ended after ${given} of its ${this.#total ?? 'unknown number of'} samples`);
    await this.settled();
  }

  close(): void {
    this.#decoder.close();
  }

  /** Samples of the stream that its first `packets` packets bring, when it has so many. */
  #behind(packets: number): number {
    return Math.max(0, packets * OPUS_PACKET_SAMPLES - this.#lookAhead);
  }

  #frame(frame: Int16Array<ArrayBuffer>): void {
    const before = this.#behind(this.#frames);
    this.#frames += 1;
    const end = Math.min(this.#behind(this.#frames), this.#total ?? Number.POSITIVE_INFINITY);
    const skipped = before + this.#lookAhead - (this.#frames - 1) * OPUS_PACKET_SAMPLES;
    if (end <= before) return;
    const octets = new Uint8Array(frame.buffer);
    this.#samples(octets.subarray(skipped * OCTETS_PER_SAMPLE, (skipped + end - before) * OCTETS_PER_SAMPLE));
  }
}

function malformed(what: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MALFORMED, `an answer stream of Opus ${what}`);
}
