import {
  type AnswerCodec,
  type AnswerHeader,
  AnswerHeaderDecoder,
  isVoiceProtocolError,
  OCTETS_PER_SAMPLE,
  OPUS_CODEC,
  PcmAligner,
  Seam,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerRecord } from './answer-log.ts';
import type { OpusDecoderModule } from './opus-module.ts';
import type { Playback } from './playback.ts';

/** What the reader needs of the session that brings the answers, and of the call's account of them. */
export interface AnswerSource {
  /** Something came. */
  heard(): void;
  /** Fulfils when what came may be taken: false when another session carries the call by then. */
  mayTake(): Promise<boolean>;
  /** Samples of this answer that came before, in other sessions; undefined for one that is over. */
  begins(answer: number): number | undefined;
  received(answer: number, samples: number): void;
  /** No more of it will come. */
  ended(answer: number): void;
  /** Whether the backend reset the stream; false when it broke with its session, so that the answer goes on in the next. */
  wasReset(error: unknown): Promise<boolean>;
  /** An answer stream is not what the voice protocol says. */
  failed(error: VoiceProtocolError): void;
  /** The codec of answers (`DownlinkCodec`). */
  readonly opus: {
    began(codec: AnswerCodec): void;
    /** What decodes Opus; undefined where the browser cannot: the backend was told, and the answer goes on in another stream. */
    decoder(): Promise<OpusDecoderModule | undefined>;
    badPacket(): void;
    undecodable(): void;
  };
}

/** Reads answer streams into playback for as long as they come. Rejects when the session or the protocol breaks. */
export async function readAnswers(
  streams: ReadableStream<ReadableStream<Uint8Array>>,
  playback: Playback,
  source: AnswerSource,
): Promise<void> {
  const reader = streams.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    new AnswerReader(value, playback, source).run().catch((error) => {
      if (isVoiceProtocolError(error)) source.failed(error);
    });
  }
}

/** Reads one answer stream: the whole answer, or the part of it that is carried so. */
class AnswerReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #playback: Playback;
  readonly #source: AnswerSource;
  readonly #decoder = new AnswerHeaderDecoder();
  readonly #aligner = new PcmAligner();
  #opus: InstanceType<OpusDecoderModule['AnswerOpus']> | undefined;
  #record: AnswerRecord | undefined;
  /** Samples at the front of the stream that came in another one already. */
  #known = 0;

  constructor(stream: ReadableStream<Uint8Array>, playback: Playback, source: AnswerSource) {
    this.#reader = stream.getReader();
    this.#playback = playback;
    this.#source = source;
  }

  /**
   * Reads to the FIN, or to the reset that a barge-in sends; whatever came before the reset has been kept. The rest of an answer
   * that was cut, or that is over, is not wanted: its stream is cancelled (STOP_SENDING).
   */
  async run(): Promise<void> {
    try {
      for (;;) {
        await this.#playback.room();
        await this.#opus?.room();
        const { done, value } = await this.#reader.read();
        this.#source.heard();
        // The session is being closed, and its streams with it: nothing is left to cancel.
        if (!(await this.#source.mayTake())) return;
        if (done) break;
        const octets = this.#decoder.push(value);
        const { header } = this.#decoder;
        if (header === undefined) continue;
        const wanted = this.#record !== undefined || (await this.#begin(header));
        if (!wanted || !this.#take(octets)) return await this.#cancel();
      }
      await this.#finish();
    } catch (error) {
      const over = isVoiceProtocolError(error) || (await this.#source.wasReset(error));
      // What came before a reset is kept.
      await this.#opus?.settled();
      if (this.#record?.open && over) this.#end(false);
      throw error;
    } finally {
      this.#opus?.close();
    }
  }

  /** Its header came. False when nothing of the stream is wanted. */
  async #begin(header: AnswerHeader): Promise<boolean> {
    const { opus } = this.#source;
    const module = header.codec === OPUS_CODEC ? await opus.decoder() : undefined;
    if (header.codec === OPUS_CODEC && (module === undefined || !(await this.#source.mayTake())))
      return false;
    const came = this.#source.begins(header.answer);
    if (came === undefined) return false;
    if (header.firstSample > came)
      throw malformed(`goes on at sample ${header.firstSample}, but ${came} came before`);
    const record = this.#playback.begin(header);
    const { carriage = 0 } = header;
    // One that was given up, and that the stream which took over from it has overtaken.
    if (record.carriage > carriage) return false;
    record.carriage = carriage;
    record.carrier = this;
    this.#record = record;
    this.#known = came - header.firstSample;
    opus.began(header.codec);
    if (module === undefined) return true;
    const samples = (octets: Uint8Array) => this.#samples(octets);
    this.#opus = new module.AnswerOpus(header.lookAhead ?? 0, samples, () => opus.badPacket());
    return true;
  }

  /** False when no more of the stream is wanted. */
  #take(octets: Uint8Array): boolean {
    const record = this.#record;
    if (record === undefined || record.carrier !== this) return false;
    if (this.#opus === undefined) this.#samples(this.#aligner.push(octets));
    else if (!this.#push(this.#opus, octets)) return false;
    if (!record.cleared) return true;
    this.#end(false);
    return false;
  }

  /** False when it is not Opus: the answer goes on in another stream. */
  #push(opus: InstanceType<OpusDecoderModule['AnswerOpus']>, octets: Uint8Array): boolean {
    const fault = opus.push(octets);
    if (fault !== undefined) throw malformed(fault);
    if (opus.failed) this.#source.opus.undecodable();
    return !opus.failed;
  }

  /** Whole samples of the stream, in order. */
  #samples(octets: Uint8Array): void {
    const record = this.#record;
    if (record === undefined || record.carrier !== this) return;
    record.seam ??= new Seam();
    let fresh = octets;
    if (this.#known > 0) {
      const skipped = Math.min(this.#known, octets.length / OCTETS_PER_SAMPLE);
      this.#known -= skipped;
      fresh = octets.subarray(skipped * OCTETS_PER_SAMPLE);
      record.seam.follows(octets.subarray(0, skipped * OCTETS_PER_SAMPLE));
    }
    fresh = record.seam.join(fresh);
    this.#playback.push(record, fresh);
    this.#source.received(record.header.answer, fresh.length / OCTETS_PER_SAMPLE);
  }

  /** The stream ended. */
  async #finish(): Promise<void> {
    const record = this.#record;
    if (record === undefined || this.#aligner.pendingOctets > 0) {
      throw malformed(
        `ended ${record === undefined ? 'before its header was whole' : 'in the middle of a sample'}`,
      );
    }
    const fault = await this.#opus?.end();
    if (fault !== undefined) throw malformed(fault);
    if (this.#opus?.failed) this.#source.opus.undecodable();
    else this.#end(true);
  }

  /** No more comes of the answer, unless another stream carries it by now. */
  #end(complete: boolean): void {
    const record = this.#record;
    if (record === undefined || record.carrier !== this) return;
    this.#playback.end(record, complete);
    this.#source.ended(record.header.answer);
  }

  async #cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}

function malformed(what: string): VoiceProtocolError {
  return new VoiceProtocolError(SessionCloseCode.MALFORMED, `an answer stream ${what}`);
}
