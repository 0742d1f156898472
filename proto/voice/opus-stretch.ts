import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import { OPUS_PACKET_SAMPLES, OpusReader, opusPacketFault } from './opus-framing.ts';
import { int16ToOctets, OCTETS_PER_SAMPLE } from './pcm.ts';

/** A decoder of one stream, in the state that its packets so far left. */
export interface OpusDecoding {
  /** Mono samples at 24 kHz, in memory of their own; undefined for octets that are no Opus. */
  decode(packet: Uint8Array): Int16Array | undefined;
  /** Gives its memory back. */
  free(): void;
}

/**
 * Makes the samples of one Opus stream out of its octets: exactly those that the stream stands for. A decoder's output lags by the
 * encoder's look-ahead, so that much is left out at the front, and the last packet is cut at the stream's total. Packets are
 * decoded one at a time, when they are asked for: a few octets may be a second of audio.
 */
export class OpusStretch {
  readonly #reader = new OpusReader();
  #skip: number;
  #samples = 0;
  #packets = 0;
  #total: number | undefined;

  /** Samples at the front of the decoder's output that stand for nothing; and samples behind them that its total does not count. */
  constructor(lookAhead: number, runIn: number) {
    this.#skip = lookAhead;
    this.#samples = -runIn;
  }

  /** Octets that wait. */
  get bufferedOctets(): number {
    return this.#reader.bufferedOctets;
  }

  push(octets: Uint8Array): void {
    this.#reader.push(octets);
  }

  /**
   * The samples of the next packet, as PCM octets; empty when they are all left out, undefined when no packet is whole. Throws
   * `VoiceProtocolError` for what is no packet of a call.
   */
  next(decoding: OpusDecoding): Uint8Array | undefined {
    for (;;) {
      const entry = this.#reader.next();
      if (entry === undefined) return undefined;
      if ('packet' in entry) return this.#take(decoding, entry.packet);
      if (this.#total !== undefined) throw broken('says twice how many samples it has');
      if (entry.totalSamples < this.#samples)
        throw broken(`has ${entry.totalSamples} samples by its own word, but ${this.#samples} came`);
      this.#total = entry.totalSamples;
    }
  }

  /** The stream has ended. Throws `VoiceProtocolError` when samples are missing. */
  end(): void {
    if (this.bufferedOctets > 0) throw broken('ended in the middle of a packet');
    if (this.#total === undefined) throw broken('ended without saying how many samples it has');
    if (Math.max(0, this.#samples) !== this.#total)
      throw broken(`ended after ${this.#samples} of its ${this.#total} samples`);
  }

  #take(decoding: OpusDecoding, packet: Uint8Array): Uint8Array {
    if (this.#samples === this.#total) throw broken('goes on behind its last sample');
    const fault = opusPacketFault(packet);
    const decoded = fault === undefined ? decoding.decode(packet) : undefined;
    if (decoded?.length !== OPUS_PACKET_SAMPLES) {
      const what = fault ?? 'is no Opus';
      throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `Opus packet ${this.#packets} ${what}`);
    }
    this.#packets += 1;
    const from = Math.min(this.#skip, decoded.length);
    this.#skip -= from;
    const left = (this.#total ?? Number.POSITIVE_INFINITY) - this.#samples;
    const samples = Math.min(decoded.length - from, left);
    this.#samples += samples;
    return int16ToOctets(decoded).subarray(from * OCTETS_PER_SAMPLE, (from + samples) * OCTETS_PER_SAMPLE);
  }
}

function broken(what: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MICROPHONE_BROKEN, `an Opus stream ${what}`);
}
