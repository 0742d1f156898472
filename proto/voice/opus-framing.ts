// From the files themselves: a page that loads them wants no cursors.
import { concat } from '../wire/octets.ts';
import { encodeVarint, readVarint, varintLengthFrom } from '../wire/varint.ts';
import { SessionCloseCode, VoiceProtocolError } from './codes.ts';

/** The codec for networks that do not carry PCM: Opus, mono, one frame of 20 ms in each packet. */
export const OPUS_CODEC = 'opus';
/** Samples at 24 kHz in each packet: 20 ms. */
export const OPUS_PACKET_SAMPLES = 480;
/** Longest packet: the TOC octet and the longest frame (RFC 6716 §3.2.1). */
export const MAX_OPUS_PACKET_OCTETS = 1276;
/** Shortest packet that is taken: a TOC octet alone stands for silence of which nothing was sent (DTX), which a call does not use. */
export const MIN_OPUS_PACKET_OCTETS = 2;
/** Samples at the front of a stream that may be left out, of look-ahead and of run-in each: 100 ms. */
export const MAX_RUN_IN_SAMPLES = 2400;
/**
 * Samples before its first that an encoder is given where something goes before, and that are left out where they are decoded: one that
 * begins in the middle of a wave has to run in. 10 ms.
 */
export const RUN_IN_SAMPLES = 240;

const EMPTY = new Uint8Array(0);

/** Packets as the octets of a stream: each with its length before it, as a QUIC varint. */
export function encodeOpusPackets(packets: readonly Uint8Array[]): Uint8Array {
  return concat(packets.flatMap((packet) => [encodeVarint(packet.length), packet]));
}

/** Says how many samples the stream has: written once, before the last packet that reaches beyond them, or at the end. */
export function encodeOpusTotal(samples: number): Uint8Array {
  return concat([encodeVarint(0), encodeVarint(samples)]);
}

/** What stands in an Opus stream, in order. */
export type OpusEntry = { readonly packet: Uint8Array } | { readonly totalSamples: number };

/** Cuts packets out of a stream, however it is chopped. Throws `VoiceProtocolError` for a length that no packet has. */
export class OpusReader {
  #data: Uint8Array = EMPTY;
  #at = 0;

  /** Octets taken in and not yet given out. */
  get bufferedOctets(): number {
    return this.#data.length - this.#at;
  }

  /** Takes octets in; they are kept by reference when nothing is left of those before. */
  push(octets: Uint8Array): void {
    if (this.bufferedOctets === 0) this.#data = octets;
    else {
      const joined = new Uint8Array(this.bufferedOctets + octets.length);
      joined.set(this.#data.subarray(this.#at));
      joined.set(octets, this.bufferedOctets);
      this.#data = joined;
    }
    this.#at = 0;
  }

  /** The next entry; undefined while it is not whole. A packet is a view, valid until the next `push`. */
  next(): OpusEntry | undefined {
    const length = readVarint(this.#data, this.#at);
    if (length === undefined) return undefined;
    const behind = this.#at + varintLengthFrom(this.#data[this.#at]!);
    if (length === 0) {
      const totalSamples = readVarint(this.#data, behind);
      if (totalSamples === undefined) return undefined;
      this.#at = behind + varintLengthFrom(this.#data[behind]!);
      return { totalSamples };
    }
    if (length < MIN_OPUS_PACKET_OCTETS || length > MAX_OPUS_PACKET_OCTETS)
      throw new VoiceProtocolError(
        SessionCloseCode.MALFORMED,
        `an Opus packet of ${length} octets was announced; ${MIN_OPUS_PACKET_OCTETS} to ${MAX_OPUS_PACKET_OCTETS} are taken`,
      );
    if (this.bufferedOctets - (behind - this.#at) < length) return undefined;
    this.#at = behind + length;
    return { packet: this.#data.subarray(behind, this.#at) };
  }
}

/** Duration of one frame in units of 2.5 ms, by the configuration number of the TOC octet (RFC 6716 §3.1, Table 2). */
const FRAME_UNITS = [
  4, 8, 16, 24, 4, 8, 16, 24, 4, 8, 16, 24, 4, 8, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8,
];
const UNITS_PER_PACKET = 8;

/** Why a packet is none that a call carries; undefined when it is one: mono, one frame of 20 ms (RFC 6716 §3.1). */
export function opusPacketFault(packet: Uint8Array): string | undefined {
  const toc = packet[0] ?? 0;
  if ((toc & 0b100) !== 0) return 'is stereo';
  if ((toc & 0b11) !== 0) return 'has more than one frame';
  if (FRAME_UNITS[toc >> 3] !== UNITS_PER_PACKET) return 'is not of 20 ms';
  return undefined;
}
