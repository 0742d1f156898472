import { OPUS_PACKET_SAMPLES, OpusReader, opusPacketFault } from '../../proto/voice/opus-framing.ts';
import { OpusDecoder } from './decoder.ts';

const OCTETS_PER_SAMPLE = Int16Array.BYTES_PER_ELEMENT;

/**
 * Makes the samples of an answer's stream out of its Opus packets: exactly those that the stream stands for. Each packet is 480 samples,
 * silence where it is no Opus; the encoder's look-ahead is left out at the front, and the last packet is cut at the stream's total. What is
 * wrong with the stream is told as words: errors of this file's own would be unknown to the library, which is another file.
 */
export class AnswerOpus {
  readonly #reader = new OpusReader();
  readonly #decoder: OpusDecoder;
  readonly #samples: (octets: Uint8Array) => void;
  readonly #lookAhead: number;
  #packets = 0;
  #frames = 0;
  #total: number | undefined;

  /** `samples` is given them as PCM, in order; `fault` is told of each packet that is none. */
  constructor(lookAhead: number, samples: (octets: Uint8Array) => void, fault: () => void) {
    this.#lookAhead = lookAhead;
    this.#samples = samples;
    this.#decoder = new OpusDecoder({ frame: (frame) => this.#frame(frame), fault });
  }

  /** Too much of it was no Opus: nothing more of it will come. */
  get failed(): boolean {
    return this.#decoder.failed;
  }

  /** Takes octets of the stream. Gives what is wrong with them, if anything is. */
  push(octets: Uint8Array): string | undefined {
    this.#reader.push(octets);
    try {
      for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
        const fault = 'packet' in entry ? this.#packet(entry.packet) : this.#totalIs(entry.totalSamples);
        if (fault !== undefined) return fault;
      }
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  #totalIs(total: number): string | undefined {
    const given = this.#behind(this.#packets);
    if (this.#total !== undefined || total < given)
      return `says that it has ${total} samples, behind ${this.#total ?? given}`;
    this.#total = total;
    return undefined;
  }

  #packet(packet: Uint8Array): string | undefined {
    if (this.#total !== undefined && this.#behind(this.#packets) >= this.#total)
      return 'goes on behind its last sample';
    this.#packets += 1;
    if (opusPacketFault(packet) === undefined) this.#decoder.decode(packet);
    else this.#decoder.skip();
    return undefined;
  }

  /** Fulfils when more octets may be given. */
  room(): Promise<void> {
    return this.#decoder.room();
  }

  /** Fulfils when the samples of all packets so far were given. */
  settled(): Promise<void> {
    return this.#decoder.flush();
  }

  /** The stream ended: fulfils when all its samples were given, or with what is wrong with it. */
  async end(): Promise<string | undefined> {
    if (this.#reader.bufferedOctets > 0) return 'ended in the middle of a packet';
    const given = this.#behind(this.#packets);
    if (this.#total === undefined || given < this.#total)
      return `ended after ${given} of its ${this.#total ?? 'unknown number of'} samples`;
    await this.settled();
    return undefined;
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
